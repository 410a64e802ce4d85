// The SDK in Swift against a real server: the quickstart, what the wrapper itself promises, and one long story.

import Foundation
import ReplyHQ

@main
struct Scenario {
    static func main() async {
        // Into a file as well: what was done before a crash is told.
        setvbuf(stdout, nil, _IOLBF, 0)
        await test("the quickstart sends its message", sendsTheQuickstartsMessage)
        await test("what arrives is told once, what is unread is known while closed, and what is none is an error", events)
        await test("errors have a code, and sequences end with the client", wrapper)
        await test("a verified person's devices share what was written until they log out", verified)
        await test("a function that gives no token is an error and changes nothing", noToken)
        await test("nothing is lost, doubled or out of order from the first message to the logout", story)
    }

    private static func test(_ name: String, _ body: () async throws -> Void) async {
        do {
            try await body()
        } catch {
            print("FAILED: \(name): \(error)")
            exit(1)
        }
        print("ok: \(name)")
    }
}

private func sendsTheQuickstartsMessage() async throws {
    let (server, folder) = (try Server(), try temporaryFolder())
    defer { discard(server, folder) }
    try await server.start()
    try await quickstart(serverUrl: server.url, appId: server.appId, apiKey: server.apiKey, dataDir: folder.path)
    let agent = Agent(server)
    let conversations = try await agent.conversations()
    try expect(1, conversations.count)
    try expect(["Hello!"], try await agent.messages(conversations[0]).map { try text($0, "body") })
}

private func events() async throws {
    let (server, folder) = (try Server(), try temporaryFolder())
    defer { discard(server, folder) }
    try await server.start()
    let agent = Agent(server)
    let config = try ClientConfig(
        serverUrl: server.url, appId: server.appId, apiKey: server.apiKey, dataDir: folder.path
    ).with(deviceContext: ["app_version": "1.2.3"])
    let client = try await ReplyHQClient.open(config: config)
    let arrived = Watcher(client.events())
    try await client.send("Hello")
    _ = try await Watcher(client.states()).wait("sent") { $0.queued == 0 && !$0.conversations.isEmpty }
    let conversation = try await agent.conversations()[0]
    try await agent.write(conversation, "Hello Ann")
    _ = try await arrived.wait("the answer") { event in
        if case .messageArrived(let id, let message) = event {
            return id == conversation && message.body == "Hello Ann"
        }
        return false
    }
    try await expectCode("UNKNOWN_CONVERSATION") {
        do {
            for try await _ in client.timeline(of: "conv_nowhere") {}
        }
    }
    try await expectCode("ALREADY_OPEN") { _ = try await ReplyHQClient.unread(config: config) }
    await client.shutDown()
    try await agent.write(conversation, "Are you there?")
    try expect(2, try await ReplyHQClient.unread(config: config))
}

private func wrapper() async throws {
    let folder = try temporaryFolder()
    defer { try? FileManager.default.removeItem(at: folder) }
    func config(_ serverUrl: String) -> ClientConfig {
        ClientConfig(serverUrl: serverUrl, appId: "app_1", apiKey: "rhq_key_1", dataDir: folder.path)
    }
    let nowhere = "http://127.0.0.1:9"
    try await expectCode("INVALID_CONFIG") { _ = try await ReplyHQClient.open(config: config("nowhere")) }
    let client = try await ReplyHQClient.open(config: config(nowhere)) { _, _ in }
    try await expectCode("ALREADY_OPEN") { _ = try await ReplyHQClient.open(config: config(nowhere)) }
    try await expectCode("EMPTY_BODY") { try await client.send("") }
    try await expectCode("INVALID_USER") { try await client.identify(User(id: "")) }
    try await client.setNetwork(isAvailable: false)
    let states = Watcher(client.states())
    let timelines = Watcher(client.timeline())
    try await client.send("Hello")
    _ = try await states.wait("queued") { $0.queued == 1 }
    await client.shutDown()
    try expect(.closed, await states.last()?.connection)
    try expect(["Hello"], await timelines.last()?.items.map { $0.body })
    try await expectCode("CLOSED") { try await client.send("Hello") }
    await client.shutDown()

    let again = try await ReplyHQClient.open(config: config(nowhere))
    try expect(1, again.state.queued)
    await again.shutDown()
}

/// How often something was done.
private actor Count {
    private(set) var value = 0

    func increment() { value += 1 }
}

private func verified() async throws {
    let (server, folder) = (try Server(), try temporaryFolder())
    defer { discard(server, folder) }
    try await server.start()
    let agent = Agent(server)
    let fetched = Count()
    let token = try server.token(of: "ann")
    let fetchToken: @Sendable () async throws -> String = {
        await fetched.increment()
        return token
    }
    func client(_ name: String) async throws -> ReplyHQClient {
        let dataDir = folder.appendingPathComponent(name).path
        return try await ReplyHQClient.open(
            config: ClientConfig(serverUrl: server.url, appId: server.appId, apiKey: server.apiKey, dataDir: dataDir)
        )
    }
    let (first, second) = (try await client("first"), try await client("second"))
    let (states, timeline, other) = (Watcher(first.states()), Watcher(first.timeline()), Watcher(second.timeline()))

    try await signIn(first, as: "ann", fetchToken: fetchToken)
    try expect("ann", first.state.userId)
    try await first.send("From the first")
    try await second.identify(fetchToken: fetchToken)
    try expect("ann", second.state.userId)
    _ = try await other.wait("the first's") { $0.items.map { $0.body } == ["From the first"] }
    try await second.send("From the second")
    let both = try await timeline.wait("the second's") { $0.items.count == 2 }
    guard let conversation = both.conversationId else { throw Failure("no conversation in \(both)") }
    let device = first.state.deviceId

    // What proved who is there is taken back: another token is fetched, and nothing is lost.
    let asked = await fetched.value
    try server.unbind(device)
    try await first.send("Written meanwhile")
    _ = try await other.wait("what was written meanwhile") { $0.items.last?.body == "Written meanwhile" }
    guard await fetched.value > asked else { throw Failure("no other token was fetched") }

    // Blocked, it says so, and what is written waits.
    try await agent.block(device, true)
    _ = try await states.wait("blocked") { $0.connection == .blocked }
    try await first.send("Written while blocked")
    _ = try await states.wait("it waits") { $0.queued == 1 && $0.wedged == 0 }
    try await agent.block(device, false)
    try await first.networkChanged()
    _ = try await other.wait("what waited") { $0.items.last?.body == "Written while blocked" }

    try await signOut(first)
    _ = try await states.wait("nobody") { $0.userId == nil && $0.conversations.isEmpty }
    _ = try await waitFor("the server knows that they have gone") { () -> Bool? in
        try await agent.verifiedDevices(conversation) == [second.state.deviceId] ? true : nil
    }
    await first.shutDown()
    await second.shutDown()
}

private func noToken() async throws {
    let folder = try temporaryFolder()
    defer { try? FileManager.default.removeItem(at: folder) }
    let client = try await ReplyHQClient.open(
        config: ClientConfig(
            serverUrl: "http://127.0.0.1:9", appId: "app_1", apiKey: "rhq_key_1", dataDir: folder.path
        )
    )
    try await expectCode("TOKEN_FAILED") {
        try await client.identify { throw Failure("the backend is away") }
    }
    for wrong in ["", "no token"] {
        try await expectCode("TOKEN_FAILED") { try await client.identify { wrong } }
    }
    try await expectCode("INVALID_USER") { try await client.identify("") { "" } }
    try expect(nil, client.state.userId)
    try await client.identify("ann") { throw Failure("the backend is away") }
    try expect("ann", client.state.userId)
    await client.shutDown()
}

private func story() async throws {
    let (server, folder) = (try Server(), try temporaryFolder())
    defer { discard(server, folder) }
    let agent = Agent(server)
    let client = try await ReplyHQClient.open(
        config: ClientConfig(
            serverUrl: server.url, appId: server.appId, apiKey: server.apiKey, dataDir: folder.path
        )
    )
    try await client.setNetwork(isAvailable: false)
    try await client.identify(User(id: "user-ann-42", name: "Ann Example", email: "ann@example.com"))
    let states = Watcher(client.states())
    let timeline = Watcher(client.timeline())

    // Offline: three messages are kept, in order.
    var mine: [String] = []
    for body in ["First of Ann", "Second of Ann", "Third of Ann"] {
        mine.append(try await client.send(body))
    }
    _ = try await states.wait("three queued") { $0.queued == 3 && $0.connection == .offline }
    _ = try await timeline.wait("three shown") { $0.items.map { $0.delivery } == [.queued, .queued, .queued] }

    // Online: they are sent.
    try await server.start()
    try await client.setNetwork(isAvailable: true)
    _ = try await states.wait("online") { $0.connection == .online && $0.queued == 0 }
    let sent = try await timeline.wait("three sent") { $0.items.map { $0.delivery } == [.sent, .sent, .sent] }
    guard let conversation = sent.conversationId else { throw Failure("no conversation in \(sent)") }
    try expect([conversation], try await agent.conversations())

    // The device leaves one network for another.
    try await client.networkChanged()
    _ = try await states.wait("online again") { $0.connection == .online }

    // The agent types and answers.
    let typist = try await agent.connect(conversation)
    try await typist.typing(true)
    _ = try await timeline.wait("typing") { $0.isAgentTyping }
    try await typist.typing(false)
    _ = try await timeline.wait("typing no more") { !$0.isAgentTyping }
    typist.close()
    try await agent.write(conversation, "Hello Ann")
    let answered = try await timeline.wait("an answer") { $0.items.count == 4 }
    try expect("Hello Ann", answered.items[3].body)
    try expect(.agent, answered.items[3].sender)
    try expect("Ada", answered.items[3].senderName)
    _ = try await states.wait("one unread") { $0.unread == 1 }
    try await client.typing(true)

    // The server dies and comes back; both sides write meanwhile or soon after.
    server.kill()
    _ = try await states.wait("the connection is lost") { $0.connection != .online }
    mine.append(try await client.send("Fourth of Ann"))
    _ = try await states.wait("one queued") { $0.queued == 1 }
    _ = try await timeline.wait("it is shown as queued") { $0.items.count == 5 && $0.items[4].delivery == .queued }
    try await server.start()
    try await agent.write(conversation, "Are you there?")
    let six = try await timeline.wait("six messages") { $0.items.count == 6 && $0.items.allSatisfy { $0.seq != nil } }
    _ = try await states.wait("two unread") { $0.unread == 2 && $0.queued == 0 }

    // Both sides read.
    try await client.markRead()
    _ = try await states.wait("none unread") { $0.unread == 0 }
    guard let last = six.items.last(where: { mine.contains($0.localId) })?.messageId else {
        throw Failure("none of mine in \(six)")
    }
    let reader = try await agent.connect(conversation)
    try await reader.read(upTo: last)
    reader.close()
    _ = try await timeline.wait("all read") { $0.items.allSatisfy { $0.delivery == .read } }
    let seen = await timeline.deliveries()
    for localId in mine {
        guard seen[localId]?.isSuperset(of: [.queued, .sent, .read]) == true else {
            throw Failure("\(localId): \(String(describing: seen[localId]))")
        }
    }
    let kept = try await waitFor("all is read") { () -> [[String: Any]]? in
        let messages = try await agent.messages(conversation)
        return messages.allSatisfy { $0["status"] as? String == "read" } ? messages : nil
    }
    try expect([1, 2, 3, 4, 5, 6], kept.map { $0["seq"] as? Int })
    try expect(six.items.map { $0.body }, try kept.map { try text($0, "body") })
    func bodies(of sender: String) throws -> [String] {
        try kept.filter { $0["sender"] as? String == sender }.map { try text($0, "body") }
    }
    try expect(["First of Ann", "Second of Ann", "Third of Ann", "Fourth of Ann"], try bodies(of: "user"))
    try expect(["Hello Ann", "Are you there?"], try bodies(of: "agent"))

    // Nothing of the person stays.
    try await client.logout()
    _ = try await states.wait("nobody") { $0.userId == nil && $0.conversations.isEmpty && $0.unread == 0 }
    _ = try await timeline.wait("nothing") { $0.items.isEmpty && $0.conversationId == nil }
    await client.shutDown()
    let traces = six.items.map { $0.body } + ["user-ann-42", "Ann Example", "ann@example.com", conversation]
    let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
    while let file = files?.nextObject() as? URL {
        guard let content = try? Data(contentsOf: file) else { continue }
        for trace in traces where content.range(of: Data(trace.utf8)) != nil {
            throw Failure("\(file.path) still has \(trace)")
        }
    }
}

/// All that a sequence of snapshots gave.
private actor Watcher<Snapshot> {
    private var newest: Snapshot?
    private var hasEnded = false
    private var seen: [String: Set<Delivery>] = [:]

    init<Snapshots: AsyncSequence & Sendable>(_ snapshots: Snapshots) where Snapshots.Element == Snapshot {
        Task { await self.watch(snapshots) }
    }

    /// Waits until one fits.
    nonisolated func wait(_ what: String, _ fits: (Snapshot) -> Bool) async throws -> Snapshot {
        try await waitFor(what) { () -> Snapshot? in
            guard let snapshot = await self.present(), fits(snapshot) else { return nil }
            return snapshot
        }
    }

    /// Waits until the sequence has ended.
    nonisolated func last() async throws -> Snapshot? {
        _ = try await waitFor("the end of the sequence") { await self.isDone() ? true : nil }
        return await present()
    }

    /// What each message was seen as.
    func deliveries() -> [String: Set<Delivery>] { seen }

    private func present() -> Snapshot? { newest }

    private func isDone() -> Bool { hasEnded }

    private func watch<Snapshots: AsyncSequence>(_ snapshots: Snapshots) async where Snapshots.Element == Snapshot {
        do {
            for try await snapshot in snapshots {
                newest = snapshot
                for item in (snapshot as? Timeline)?.items ?? [] {
                    seen[item.localId, default: []].insert(item.delivery)
                }
            }
            hasEnded = true
        } catch {
            // Waited for in vain.
            print("the sequence failed: \(error)")
        }
    }
}

private func expectCode(_ code: String, _ call: () async throws -> Void) async throws {
    do {
        try await call()
    } catch let error as ReplyHQError {
        return try expect(code, error.code)
    }
    throw Failure("\(code) was expected, and nothing failed")
}

private func discard(_ server: Server, _ folder: URL) {
    server.discard()
    try? FileManager.default.removeItem(at: folder)
}
