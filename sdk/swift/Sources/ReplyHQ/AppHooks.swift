// What iOS knows of the network and of who looks at the app, told to the client.

#if canImport(UIKit) && canImport(Network)
import Network
import UIKit

/// Tells the client of each change of the network, and whether the app is seen, until it is let go of. One for each client,
/// kept as long as that is:
///
///     let client = try await ReplyHQClient.open(config: config)
///     let hooks = await AppHooks(client)
@MainActor
public final class AppHooks {
    private let monitor = NWPathMonitor()
    private let calls: AsyncStream<@Sendable (ReplyHQClient) async throws -> Void>.Continuation
    private var observers: [NSObjectProtocol] = []
    private let paths: Paths

    public init(_ client: ReplyHQClient) {
        let (stream, calls) = AsyncStream<@Sendable (ReplyHQClient) async throws -> Void>.makeStream()
        self.calls = calls
        // One after the other: what was known later must not be told before.
        Task {
            for await call in stream {
                // Only a client that is closed refuses these; there is nothing left to tell it.
                do { try await call(client) } catch { break }
            }
        }
        let paths = Paths(calls)
        self.paths = paths
        monitor.pathUpdateHandler = { path in paths.changed(to: path) }
        monitor.start(queue: DispatchQueue(label: "com.replyhq.sdk.network"))

        let center = NotificationCenter.default
        observers.append(center.addObserver(
            forName: UIApplication.willEnterForegroundNotification, object: nil, queue: .main
        ) { _ in
            calls.yield { try await $0.setForeground(true) }
        })
        observers.append(center.addObserver(
            forName: UIApplication.didEnterBackgroundNotification, object: nil, queue: .main
        ) { _ in
            MainActor.assumeIsolated {
                // The system lets an app that asks for it empty its queue, for some seconds.
                let task = BackgroundTask()
                calls.yield { client in
                    try await client.setForeground(false)
                    try await client.drain(timeout: 10)
                    await task.end()
                }
            }
        })
    }

    deinit {
        monitor.cancel()
        observers.forEach(NotificationCenter.default.removeObserver)
        calls.finish()
    }
}

/// The network that the app uses, by its interfaces. Used on the monitor's queue alone.
private final class Paths: @unchecked Sendable {
    private let calls: AsyncStream<@Sendable (ReplyHQClient) async throws -> Void>.Continuation
    private var former: [String]?

    init(_ calls: AsyncStream<@Sendable (ReplyHQClient) async throws -> Void>.Continuation) {
        self.calls = calls
    }

    func changed(to path: NWPath) {
        guard path.status == .satisfied else {
            former = nil
            calls.yield { try await $0.setNetwork(isAvailable: false) }
            return
        }
        let present = path.availableInterfaces.map(\.name)
        if let former, former.first != present.first {
            calls.yield { try await $0.networkChanged() }
        } else {
            calls.yield { try await $0.setNetwork(isAvailable: true) }
        }
        former = present
    }
}

/// Time that the system gives in the background.
@MainActor
private final class BackgroundTask {
    private var id = UIBackgroundTaskIdentifier.invalid

    init() {
        id = UIApplication.shared.beginBackgroundTask(withName: "ReplyHQ") { [weak self] in
            MainActor.assumeIsolated { self?.end() }
        }
    }

    func end() {
        guard id != .invalid else { return }
        UIApplication.shared.endBackgroundTask(id)
        id = .invalid
    }
}
#endif
