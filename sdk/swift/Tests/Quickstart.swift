// The quickstart of docs/sdk/swift.md, as the suite runs it.

// [quickstart]
import ReplyHQ

func quickstart(serverUrl: String, appId: String, apiKey: String, dataDir: String) async throws {
    let config = ClientConfig(serverUrl: serverUrl, appId: appId, apiKey: apiKey, dataDir: dataDir)
    let client = try await ReplyHQClient.open(config: config)
    try await client.identify(User(id: "user-42", name: "Ann", attributes: ["plan": "pro", "seats": 3]))

    // Each value is the whole picture, so a screen only has to show the newest one.
    let screen = Task {
        for await timeline in client.timeline() {
            for item in timeline.items {
                print("\(item.sender): \(item.body) (\(item.delivery))")
            }
        }
    }

    // Stored before this returns; sent now, or when there is a network again.
    try await client.send("Hello!")

    let waiting = try await client.drain(timeout: 10)
    print("\(waiting) messages wait to be sent")
    await client.shutDown()
    // The client is closed, and so the sequence has ended.
    await screen.value
}
// [/quickstart]
