// The quickstart of docs/sdk/kotlin.md, as the tests run it.

package com.replyhq.sdk.tests

// [quickstart]
import com.replyhq.sdk.ClientConfig
import com.replyhq.sdk.ReplyHQClient
import com.replyhq.sdk.User
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.withTimeoutOrNull

suspend fun quickstart(serverUrl: String, appId: String, apiKey: String, dataDir: String) {
    val client = ReplyHQClient.open(ClientConfig(serverUrl, appId, apiKey, dataDir))
    client.identify(User("user-42", name = "Ann", attributes = mapOf("plan" to "pro", "seats" to 3)))

    // Stored before this returns; sent now, or when there is a network again.
    client.send("Hello!")

    // Each value is the whole picture, so a screen only has to show the newest one. This one looks until all is sent.
    withTimeoutOrNull(10.seconds) {
        client.timeline().first { timeline ->
            timeline.items.forEach { println("${it.sender}: ${it.body} (${it.delivery::class.simpleName})") }
            timeline.items.all { it.messageId != null }
        }
    }
    println("${client.state.value.queued} messages wait to be sent")
    client.shutDown()
}
// [/quickstart]

// [tokens]
/** [fetchToken] asks your backend: when the server has to be told who is there, now or later, and never in the background. */
suspend fun signIn(client: ReplyHQClient, userId: String, fetchToken: suspend () -> String) {
    // Where only the token knows who it is, leave the id out.
    client.identify(userId, fetchToken)
}

suspend fun signOut(client: ReplyHQClient) {
    // What waits gets a last chance; then nothing of the person stays, and the server is told that they have gone.
    client.drain(5.seconds)
    client.logout()
}
// [/tokens]
