// swift-tools-version:5.9
// The package as apps have it. build-xcframework.sh puts it together under target/, with the generated code and the
// native library, and this file is copied there.

import PackageDescription

let package = Package(
    name: "ReplyHQ",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [
        .library(name: "ReplyHQ", targets: ["ReplyHQ"])
    ],
    targets: [
        .binaryTarget(name: "ReplyHQFFI", path: "ReplyHQFFI.xcframework"),
        .target(name: "ReplyHQ", dependencies: ["ReplyHQFFI"]),
    ]
)
