// For the suite: a server of its own, and an agent at it.

import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// How many seconds anything may take before the suite fails. Far more than is ever needed.
let patience: TimeInterval = 20

/// What went wrong in the suite.
struct Failure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

func expect<T: Equatable>(_ expected: T, _ found: T) throws {
    guard expected == found else { throw Failure("expected \(expected), found \(found)") }
}

/// Asks again and again until there is something.
func waitFor<T>(_ what: String, _ look: () async throws -> T?) async throws -> T {
    let deadline = Date().addingTimeInterval(patience)
    while Date() < deadline {
        if let found = try await look() { return found }
        try await Task.sleep(nanoseconds: 20_000_000)
    }
    throw Failure("waited for: \(what)")
}

/// A folder that the caller throws away.
func temporaryFolder() throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("replyhq-swift-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    return folder
}

/// The real binary, on a folder and a port that it keeps over restarts.
final class Server {
    let url: String
    let appId: String
    let apiKey: String
    let adminToken: String
    /// What a backend signs its people's tokens with.
    let identitySecret: String
    private let folder: URL
    private let port: UInt16
    private var process: Process?

    init() throws {
        folder = try temporaryFolder()
        // Another program could take it before the server does; so far none has.
        port = UInt16.random(in: 20_000..<32_000)
        url = "http://127.0.0.1:\(port)"
        let app = try Server.command(folder, ["app", "create", "Shop"])
        appId = try text(app, "app_id")
        apiKey = try text(app, "api_key")
        let token = try Server.command(folder, ["token", "create", "--app", appId, "--name", "Ada"])
        adminToken = try text(token, "admin_token")
        identitySecret = try text(try Server.command(folder, ["identity", "add-secret", "--app", appId]), "secret")
    }

    func start() async throws {
        let serve = ["serve", "--listen", "127.0.0.1:\(port)", "--log-level", "warn"]
        process = try Server.process(folder, serve).started
        let ready = URL(string: "\(url)/readyz")!
        _ = try await waitFor("the server") { () -> Bool? in
            let answer = try? await send(URLRequest(url: ready))
            return answer?.status == 200 ? true : nil
        }
    }

    /// Takes back what proved who is at a device.
    func unbind(_ device: String) throws {
        _ = try Server.command(folder, ["device", "unbind", "--app", appId, device])
    }

    /// What a backend would sign: docs/people.md. By OpenSSL, since there is no HMAC in Foundation.
    func token(of userId: String) throws -> String {
        func encoded(_ data: Data) -> String {
            data.base64EncodedString().replacingOccurrences(of: "+", with: "-")
                .replacingOccurrences(of: "/", with: "_").replacingOccurrences(of: "=", with: "")
        }
        let claims = "{\"sub\":\"\(userId)\",\"exp\":\(Int(Date().timeIntervalSince1970) + 600)}"
        let signed = encoded(Data("{\"alg\":\"HS256\"}".utf8)) + "." + encoded(Data(claims.utf8))
        let openssl = Process()
        openssl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        openssl.arguments = ["openssl", "dgst", "-sha256", "-hmac", identitySecret, "-binary"]
        let (input, output) = (Pipe(), Pipe())
        openssl.standardInput = input
        openssl.standardOutput = output
        try openssl.run()
        input.fileHandleForWriting.write(Data(signed.utf8))
        input.fileHandleForWriting.closeFile()
        let signature = output.fileHandleForReading.readDataToEndOfFile()
        openssl.waitUntilExit()
        try expect(32, signature.count)
        return "\(signed).\(encoded(signature))"
    }

    func kill() {
        guard let process, process.isRunning else { return }
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Ends it and throws its data away.
    func discard() {
        kill()
        try? FileManager.default.removeItem(at: folder)
    }

    private static func process(_ folder: URL, _ arguments: [String]) throws -> (started: Process, output: Pipe) {
        guard let binary = ProcessInfo.processInfo.environment["REPLYHQ_BINARY"] else {
            throw Failure("REPLYHQ_BINARY names the server's binary")
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: binary)
        process.arguments = arguments + ["--data-dir", folder.path]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        return (process, output)
    }

    private static func command(_ folder: URL, _ arguments: [String]) throws -> [String: Any] {
        let (started, output) = try process(folder, arguments + ["--json"])
        let printed = output.fileHandleForReading.readDataToEndOfFile()
        started.waitUntilExit()
        try expect(0, started.terminationStatus)
        return try object(printed)
    }
}

/// An agent: REST, and a socket for what only travels there.
final class Agent {
    private let server: Server

    init(_ server: Server) {
        self.server = server
    }

    /// The ids of all conversations of the app.
    func conversations() async throws -> [String] {
        try await list(rest("GET", ""), "conversations").map { try text($0, "id") }
    }

    /// Everything in the conversation, by `seq`.
    func messages(_ conversation: String) async throws -> [[String: Any]] {
        try await list(rest("GET", "/\(conversation)/messages?limit=200"), "messages")
    }

    func write(_ conversation: String, _ body: String) async throws {
        _ = try await rest("POST", "/\(conversation)/messages", ["local_id": UUID().uuidString, "body": body])
    }

    /// Connects, and joins the conversation.
    func connect(_ conversation: String) async throws -> AgentSocket {
        try await AgentSocket(server, conversation)
    }

    func block(_ device: String, _ isBlocked: Bool) async throws {
        _ = try await admin("PATCH", "devices/\(device)", ["blocked": isBlocked])
    }

    /// The devices at which the person of a conversation is verified.
    func verifiedDevices(_ conversation: String) async throws -> [String] {
        let devices = try await list(rest("GET", "/\(conversation)/person"), "devices")
        return try devices.filter { $0["is_verified"] as? Bool == true }.map { try text($0, "device_id") }
    }

    private func rest(_ method: String, _ path: String, _ body: [String: Any]? = nil) async throws -> [String: Any] {
        try await admin(method, "conversations\(path)", body)
    }

    private func admin(_ method: String, _ path: String, _ body: [String: Any]? = nil) async throws -> [String: Any] {
        var request = URLRequest(url: URL(string: "\(server.url)/v1/admin/\(path)")!)
        request.httpMethod = method
        request.setValue(server.appId, forHTTPHeaderField: "X-App-Id")
        request.setValue("Bearer \(server.adminToken)", forHTTPHeaderField: "Authorization")
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        if let body { request.httpBody = try JSONSerialization.data(withJSONObject: body) }
        let answer = try await send(request)
        guard (200..<300).contains(answer.status) else {
            throw Failure("\(method) \(path): \(answer.status) \(String(decoding: answer.body, as: UTF8.self))")
        }
        return try object(answer.body)
    }
}

/// An agent's connection: Socket.IO as it is written on the wire. Everything done on it is acknowledged.
final class AgentSocket {
    private let conversation: String
    private let socket: URLSessionWebSocketTask

    fileprivate init(_ server: Server, _ conversation: String) async throws {
        self.conversation = conversation
        let address = server.url.replacingOccurrences(of: "http://", with: "ws://")
        var upgrade = URLRequest(url: URL(string: "\(address)/v1/socket.io/?EIO=4&transport=websocket")!)
        // On Linux, Foundation asks for a connection that is kept alive, which is no WebSocket's.
        upgrade.setValue("Upgrade", forHTTPHeaderField: "Connection")
        socket = URLSession.shared.webSocketTask(with: upgrade)
        socket.resume()
        _ = try await hear("0")
        let auth = ["app_id": server.appId, "admin_token": server.adminToken]
        try await say("40/admin,\(json(auth))")
        _ = try await hear("40/admin,")
        try await emit("conversation:join")
    }

    func typing(_ isTyping: Bool) async throws {
        try await emit(isTyping ? "typing:start" : "typing:stop")
    }

    func read(upTo message: String) async throws {
        try await emit("message:read", ["up_to_message_id": message])
    }

    func close() {
        socket.cancel(with: .normalClosure, reason: nil)
    }

    private func emit(_ name: String, _ more: [String: String] = [:]) async throws {
        let payload = more.merging(["conversation_id": conversation]) { kept, _ in kept }
        try await say("42/admin,1[\"\(name)\",\(json(payload))]")
        let ack = try await hear("43/admin,1")
        guard ack.contains("\"success\":true") else { throw Failure("\(name): \(ack)") }
    }

    private func say(_ frame: String) async throws {
        try await socket.send(.string(frame))
    }

    private func hear(_ prefix: String) async throws -> String {
        while true {
            if case .string(let frame) = try await socket.receive(), frame.hasPrefix(prefix) { return frame }
        }
    }
}

private func send(_ request: URLRequest) async throws -> (status: Int, body: Data) {
    // Written out, because Linux has had the asynchronous form only since Swift 6.
    try await withCheckedThrowingContinuation { continuation in
        let task = URLSession.shared.dataTask(with: request) { body, response, error in
            if let response = response as? HTTPURLResponse {
                continuation.resume(returning: (response.statusCode, body ?? Data()))
            } else {
                continuation.resume(throwing: error ?? Failure("no answer"))
            }
        }
        task.resume()
    }
}

private func json(_ value: [String: String]) throws -> String {
    String(decoding: try JSONSerialization.data(withJSONObject: value), as: UTF8.self)
}

private func object(_ data: Data) throws -> [String: Any] {
    guard let object = try JSONSerialization.jsonObject(with: data) as? [String: Any] else {
        throw Failure("no object: \(String(decoding: data, as: UTF8.self))")
    }
    return object
}

private func list(_ object: [String: Any], _ name: String) throws -> [[String: Any]] {
    guard let list = object[name] as? [[String: Any]] else { throw Failure("no \(name) in \(object)") }
    return list
}

/// The text under this name.
func text(_ object: [String: Any], _ name: String) throws -> String {
    guard let text = object[name] as? String else { throw Failure("no \(name) in \(object)") }
    return text
}
