// The SDK as Swift code uses it: asynchronous functions and sequences over the generated bindings.

import Foundation

/// What a call of the SDK fails with.
public struct ReplyHQError: Error, LocalizedError, Equatable, Sendable {
    /// A constant word: the SDK's own, such as `OFFLINE`, or the server's. docs/sdk/README.md has all of them.
    public let code: String
    /// What is wrong, for a person who develops.
    public let message: String

    public init(code: String, message: String) {
        self.code = code
        self.message = message
    }

    public var errorDescription: String? { "\(message) (\(code))" }
}

extension User {
    /// A person with attributes: anything that `JSONSerialization` takes as an object, at most 8 KiB of it.
    ///
    /// - Throws: `INVALID_USER` for anything else.
    public init(id: String, name: String? = nil, email: String? = nil, attributes: [String: Any]) throws {
        guard JSONSerialization.isValidJSONObject(attributes) else {
            throw ReplyHQError(code: "INVALID_USER", message: "the attributes hold what JSON has no form for")
        }
        let json = try JSONSerialization.data(withJSONObject: attributes)
        self.init(id: id, name: name, email: email, attributesJson: String(decoding: json, as: UTF8.self))
    }
}

extension ClientConfig {
    /// The configuration with what agents are to know of the app and the device, such as `app_version`, beside what the
    /// SDK tells by itself: system, version, model, language and time zone. Anything that `JSONSerialization` takes.
    ///
    /// - Throws: `INVALID_CONFIG` for anything else.
    public func with(deviceContext: [String: Any]) throws -> ClientConfig {
        guard JSONSerialization.isValidJSONObject(deviceContext) else {
            throw ReplyHQError(code: "INVALID_CONFIG", message: "the device's context holds what JSON has no form for")
        }
        var config = self
        let json = try JSONSerialization.data(withJSONObject: deviceContext)
        config.deviceContextJson = String(decoding: json, as: UTF8.self)
        return config
    }

    /// With what the system knows, which the app's own words go before.
    fileprivate func completed() -> ClientConfig {
        guard describesDevice else { return self }
        var known = deviceKnown()
        if let told = deviceContextJson {
            // What is no object is left to the SDK to refuse.
            guard let more = try? JSONSerialization.jsonObject(with: Data(told.utf8)) as? [String: Any] else {
                return self
            }
            known.merge(more) { _, app in app }
        }
        return (try? with(deviceContext: known)) ?? self
    }
}

/// Nothing that would tell one device from another of its kind.
private func deviceKnown() -> [String: Any] {
    let version = ProcessInfo.processInfo.operatingSystemVersion
    var known: [String: Any] = [
        "os_version": "\(version.majorVersion).\(version.minorVersion).\(version.patchVersion)",
        "locale": Locale.current.identifier,
        "time_zone": TimeZone.current.identifier,
    ]
    if let appVersion = Bundle.main.infoDictionary?["CFBundleShortVersionString"] as? String {
        known["app_version"] = appVersion
    }
    #if canImport(Darwin)
    var machine = utsname()
    uname(&machine)
    known["model"] = withUnsafeBytes(of: &machine.machine) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    #endif
    return known
}

/// Support chat inside an app. All of it may be used from any thread, and no call blocks its thread.
///
/// A call goes on to its end even if the task that waits for it is cancelled: a message that was given to `send` is
/// sent. One client at a time may have a data folder open. A client that nobody holds any more closes itself.
public final class ReplyHQClient: Sendable {
    private let sdk: SdkClient

    private init(_ sdk: SdkClient) {
        self.sdk = sdk
    }

    /// Opens the data folder and starts connecting. What was queued before is sent.
    ///
    /// - Parameter log: hears the SDK's log, one line at a time, on a thread of the SDK's. No message and no key is in
    ///   it.
    /// - Throws: `INVALID_CONFIG`, `ALREADY_OPEN`, `STORAGE`.
    public static func open(
        config: ClientConfig,
        log: (@Sendable (LogLevel, String) -> Void)? = nil
    ) async throws -> ReplyHQClient {
        let logger = log.map { LogRelay($0) }
        let completed = config.completed()
        return ReplyHQClient(try await told { try await SdkClient.open(config: completed, logger: logger) })
    }

    /// How many messages the person has not read, by the server's count, while no client is open: for a badge, in an app
    /// that wakes up for it.
    ///
    /// - Throws: `INVALID_CONFIG`, `ALREADY_OPEN`, `OFFLINE`, `STORAGE`, or the server's code.
    public static func unread(config: ClientConfig) async throws -> Int64 {
        let completed = config.completed()
        return try await told { try await fetchUnread(config: completed) }
    }

    /// How the client stands: connection, conversations, unread messages.
    public var state: ClientState { sdk.state() }

    /// The present state, then the newest whenever it has changed. Who is slow misses states in between. Ends when the
    /// client is closed; the last one says so.
    public func states() -> AsyncStream<ClientState> {
        AsyncStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
            let subscription = sdk.subscribeState(listener: StateRelay(continuation))
            continuation.onTermination = { _ in subscription.cancel() }
        }
    }

    /// As `states()`, over the messages of a conversation that are on the device; without a name, of the person's
    /// current conversation. Fails with `UNKNOWN_CONVERSATION` as soon as it is known that there is none of that name.
    public func timeline(of conversation: String? = nil) -> AsyncThrowingStream<Timeline, Error> {
        AsyncThrowingStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
            let subscription = sdk.subscribeTimeline(
                conversation: conversation,
                listener: TimelineRelay(continuation)
            )
            continuation.onTermination = { _ in subscription.cancel() }
        }
    }

    /// What happens from here on, each once: messages that have just arrived, for a sound or a banner, and that what was
    /// stored had to be begun anew. What is to be shown is in `timeline`. Ends when the client is closed.
    public func events() -> AsyncStream<ChatEvent> {
        AsyncStream(bufferingPolicy: .bufferingOldest(256)) { continuation in
            let subscription = sdk.subscribeEvents(listener: EventRelay(continuation))
            continuation.onTermination = { _ in subscription.cancel() }
        }
    }

    /// Says who uses the app. What was written without a name becomes theirs: all of it, or, where they have a file here
    /// already, what waits to be sent.
    ///
    /// - Throws: `INVALID_USER`, `STORAGE`, `CLOSED`.
    public func identify(_ user: User) async throws {
        try await told { try await self.sdk.identify(user: user) }
    }

    /// Says that somebody uses the app whom tokens of your backend prove: the devices of a person who is proven share what they
    /// have written. The function is called when the server has to be told, now or later, and never while the app is in the
    /// background. Without a `userId` the token says who it is: one is fetched now, and nothing changes before it is there.
    ///
    /// - Throws: `INVALID_USER`, `TOKEN_FAILED`, `NOT_POSSIBLE` where somebody else was named before the token came, `STORAGE`,
    ///   `CLOSED`.
    public func identify(
        _ userId: String? = nil,
        fetchToken: @escaping @Sendable () async throws -> String
    ) async throws {
        let tokens = TokenRelay(fetchToken)
        try await told { try await self.sdk.identifyByToken(userId: userId, tokens: tokens) }
    }

    /// Forgets the person: nothing of them stays on the device, messages that were not sent yet included. The server is told that
    /// they are gone from the device that it was, now or when it can be.
    ///
    /// - Throws: `STORAGE`, `CLOSED`.
    public func logout() async throws {
        try await told { try await self.sdk.logout() }
    }

    /// Stores a message on the device, to be sent as soon as that is possible; without a conversation, to the person's
    /// current one, which the first message opens. Returns its local id.
    ///
    /// - Throws: `EMPTY_BODY`, `BODY_TOO_LONG`, `INVALID_BODY`, `QUEUE_FULL`, `UNKNOWN_CONVERSATION`, `STORAGE`,
    ///   `CLOSED`.
    @discardableResult
    public func send(_ body: String, to conversation: String? = nil) async throws -> String {
        try await told { try await self.sdk.send(conversation: conversation, body: body) }
    }

    /// Tries a wedged message again.
    ///
    /// - Throws: `UNKNOWN_MESSAGE`, `NOT_POSSIBLE`, `QUEUE_FULL`, `STORAGE`, `CLOSED`.
    public func retry(_ localId: String) async throws {
        try await told { try await self.sdk.retry(localId: localId) }
    }

    /// Takes a message back that waits or was set aside. One that was on its way before may have reached the server
    /// all the same, and then shows up again as sent.
    ///
    /// - Throws: `UNKNOWN_MESSAGE`, `NOT_POSSIBLE`, `STORAGE`, `CLOSED`.
    public func cancel(_ localId: String) async throws {
        try await told { try await self.sdk.cancel(localId: localId) }
    }

    /// Makes the timeline show up to 50 older messages more, fetched where they are not on the device. Returns whether
    /// there are still more.
    ///
    /// - Throws: `OFFLINE`, `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`, or the server's code.
    @discardableResult
    public func loadOlder(of conversation: String? = nil) async throws -> Bool {
        try await told { try await self.sdk.loadOlder(conversation: conversation) }
    }

    /// Says that the person has read all that is there.
    ///
    /// - Throws: `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`.
    public func markRead(_ conversation: String? = nil) async throws {
        try await told { try await self.sdk.markRead(conversation: conversation) }
    }

    /// Says whether the person types: true with each key, false when they leave the field.
    ///
    /// - Throws: `UNKNOWN_CONVERSATION`, `CLOSED`.
    public func typing(_ isTyping: Bool, in conversation: String? = nil) async throws {
        try await told { try await self.sdk.typing(conversation: conversation, isTyping: isTyping) }
    }

    /// Says whether the device has a network. Until this is called, it is taken to have one.
    ///
    /// - Throws: `CLOSED`.
    public func setNetwork(isAvailable: Bool) async throws {
        try await told { try await self.sdk.setNetwork(isAvailable: isAvailable) }
    }

    /// Says that the device is on another network than before, as when it leaves Wi-Fi: a connection is made anew, at once.
    ///
    /// - Throws: `CLOSED`.
    public func networkChanged() async throws {
        try await told { try await self.sdk.networkChanged() }
    }

    /// Says whether the person sees the app; until this is called, it is taken to be seen. In the background the queue
    /// is emptied for up to 10 s, then the connection is closed.
    ///
    /// - Throws: `CLOSED`.
    public func setForeground(_ isForeground: Bool) async throws {
        try await told { try await self.sdk.setForeground(isForeground: isForeground) }
    }

    /// Goes on with another API key.
    ///
    /// - Throws: `INVALID_CONFIG`, `CLOSED`.
    public func setApiKey(_ apiKey: String) async throws {
        try await told { try await self.sdk.setApiKey(apiKey: apiKey) }
    }

    /// Waits until nothing is queued, at most that many seconds. Returns how many messages still are.
    ///
    /// - Throws: `STORAGE`, `CLOSED`.
    @discardableResult
    public func drain(timeout: TimeInterval) async throws -> Int64 {
        try await told { try await self.sdk.drain(timeout: min(max(timeout, 0), 86_400)) }
    }

    /// Stops everything. When it returns, the data folder may be opened again; what is queued is still there.
    public func shutDown() async {
        await sdk.shutDown()
    }
}

/// Makes the bindings' errors the SDK's.
private func told<T>(_ call: () async throws -> T) async throws -> T {
    do {
        return try await call()
    } catch SdkError.Failed(code: let code, detail: let detail) {
        throw ReplyHQError(code: code, message: detail)
    } catch let cancelled as CancellationError {
        throw cancelled
    } catch {
        throw ReplyHQError(code: "INTERNAL", message: String(describing: error))
    }
}

// The bindings ask their listeners to be Sendable. Each of these has one constant that may be used from any thread.

private final class StateRelay: StateListener, @unchecked Sendable {
    private let continuation: AsyncStream<ClientState>.Continuation

    init(_ continuation: AsyncStream<ClientState>.Continuation) {
        self.continuation = continuation
    }

    func onState(state: ClientState) throws {
        continuation.yield(state)
    }

    func onClosed() throws {
        continuation.finish()
    }
}

private final class TimelineRelay: TimelineListener, @unchecked Sendable {
    private let continuation: AsyncThrowingStream<Timeline, Error>.Continuation

    init(_ continuation: AsyncThrowingStream<Timeline, Error>.Continuation) {
        self.continuation = continuation
    }

    func onTimeline(timeline: Timeline) throws {
        continuation.yield(timeline)
    }

    func onFailed(code: String, detail: String) throws {
        continuation.finish(throwing: ReplyHQError(code: code, message: detail))
    }

    func onClosed() throws {
        continuation.finish()
    }
}

private final class EventRelay: EventListener, @unchecked Sendable {
    private let continuation: AsyncStream<ChatEvent>.Continuation

    init(_ continuation: AsyncStream<ChatEvent>.Continuation) {
        self.continuation = continuation
    }

    func onEvent(event: ChatEvent) throws {
        continuation.yield(event)
    }

    func onClosed() throws {
        continuation.finish()
    }
}

private final class TokenRelay: TokenListener, @unchecked Sendable {
    private let fetch: @Sendable () async throws -> String

    init(_ fetch: @escaping @Sendable () async throws -> String) {
        self.fetch = fetch
    }

    func onTokenWanted(request: TokenRequest) throws {
        let fetch = self.fetch
        Task {
            do {
                request.give(token: try await fetch())
            } catch {
                request.fail(detail: String(describing: error))
            }
        }
    }
}

private final class LogRelay: LogListener, @unchecked Sendable {
    private let log: @Sendable (LogLevel, String) -> Void

    init(_ log: @escaping @Sendable (LogLevel, String) -> Void) {
        self.log = log
    }

    func onLog(level: LogLevel, message: String) throws {
        log(level, message)
    }
}
