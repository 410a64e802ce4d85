// The quickstart of docs/sdk/swift.md, as the suite runs it.

// [quickstart]
import ReplyHQ

func quickstart(serverUrl: String, appId: String, apiKey: String, dataDir: String) async throws {
    let config = ClientConfig(serverUrl: serverUrl, appId: appId, apiKey: apiKey, dataDir: dataDir)
    let client = try await ReplyHQClient.open(config: config)
    try await client.identify(User(id: "user-42", name: "Ann", attributes: ["plan": "pro", "seats": 3]))

    // Stored before this returns; sent now, or when there is a network again.
    try await client.send("Hello!")

    // Each value is the whole picture, so a screen only has to show the newest one. This one looks until all is sent.
    for try await timeline in client.timeline() {
        for item in timeline.items {
            print("\(item.sender): \(item.body) (\(item.delivery))")
        }
        if timeline.items.allSatisfy({ $0.messageId != nil }) {
            break
        }
    }
    print("\(client.state.queued) messages wait to be sent")
    await client.shutDown()
}
// [/quickstart]

// [tokens]
/// `fetchToken` asks your backend: when the server has to be told who is there, now or later, and never in the background.
func signIn(
    _ client: ReplyHQClient, as userId: String, fetchToken: @escaping @Sendable () async throws -> String
) async throws {
    // Where only the token knows who it is, leave the id out.
    try await client.identify(userId, fetchToken: fetchToken)
}

func signOut(_ client: ReplyHQClient) async throws {
    // What waits gets a last chance; then nothing of the person stays, and the server is told that they have gone.
    try await client.drain(timeout: 5)
    try await client.logout()
}
// [/tokens]
