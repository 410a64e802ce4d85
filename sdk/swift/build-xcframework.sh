#!/usr/bin/env bash
# sdk/swift/build-xcframework.sh: the SDK as a Swift package for iOS and macOS, target/sdk-swift/ReplyHQ.
#
# Needs a Mac with Xcode 15 or newer, and Rust with Apple's targets. Says what of it is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

device=(aarch64-apple-ios)
simulator=(aarch64-apple-ios-sim x86_64-apple-ios)
mac=(aarch64-apple-darwin x86_64-apple-darwin)

missing=()
installed=$(rustup target list --installed 2>/dev/null || true)
for rust in "${device[@]}" "${simulator[@]}" "${mac[@]}"; do
    grep -qx "$rust" <<<"$installed" || missing+=("the Rust target $rust: rustup target add $rust")
done
for tool in xcodebuild lipo; do
    command -v "$tool" >/dev/null || missing+=("$tool, which comes with Xcode")
done
if ((${#missing[@]})); then
    printf 'missing: %s\n' "${missing[@]}" >&2
    exit 1
fi

# As the platforms in Package.swift.
export IPHONEOS_DEPLOYMENT_TARGET=15.0 MACOSX_DEPLOYMENT_TARGET=12.0

cargo xtask sdk-bindings
target=${CARGO_TARGET_DIR:-target}
bindings=$target/sdk-bindings/swift
folder=$target/sdk-swift
package=$folder/ReplyHQ
rm -rf "$folder"
mkdir -p "$folder/headers" "$package/Sources/ReplyHQ"
cp "$bindings/ReplyHQFFI.h" "$folder/headers/"
cp "$bindings/ReplyHQFFI.modulemap" "$folder/headers/module.modulemap"

# One library for each platform, with all of its processors in it.
parts=()
join() {
    local platform=$1 libraries=() rust
    shift
    for rust in "$@"; do
        libraries+=("$(sdk/build-library.sh staticlib "$rust")")
    done
    mkdir -p "$folder/$platform"
    lipo -create "${libraries[@]}" -output "$folder/$platform/libreplyhq_sdk.a"
    parts+=(-library "$folder/$platform/libreplyhq_sdk.a" -headers "$folder/headers")
}
join device "${device[@]}"
join simulator "${simulator[@]}"
join mac "${mac[@]}"
xcodebuild -create-xcframework "${parts[@]}" -output "$package/ReplyHQFFI.xcframework"

cp sdk/swift/Package.swift "$package/"
cp sdk/swift/Sources/ReplyHQ/*.swift "$bindings/ReplyHQBindings.swift" "$package/Sources/ReplyHQ/"
echo "$package"
