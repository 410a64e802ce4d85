// The quickstart of docs/sdk/kotlin.md, as the tests run it.

package com.replyhq.sdk.tests

// [quickstart]
import com.replyhq.sdk.ClientConfig
import com.replyhq.sdk.ReplyHQClient
import com.replyhq.sdk.User
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch

suspend fun quickstart(serverUrl: String, appId: String, apiKey: String, dataDir: String) = coroutineScope {
    val client = ReplyHQClient.open(ClientConfig(serverUrl, appId, apiKey, dataDir))
    client.identify(User("user-42", name = "Ann", attributes = mapOf("plan" to "pro", "seats" to 3)))

    // Each value is the whole picture, so a screen only has to show the newest one.
    val screen = launch {
        launch { client.state.collect { println("${it.connection::class.simpleName}, ${it.unread} unread") } }
        client.timeline().collect { timeline ->
            timeline.items.forEach { println("${it.sender}: ${it.body} (${it.delivery::class.simpleName})") }
        }
    }

    // Stored before this returns; sent now, or when there is a network again.
    client.send("Hello!")

    val waiting = client.drain(10.seconds)
    println("$waiting messages wait to be sent")
    screen.cancel()
    client.shutDown()
}
// [/quickstart]
