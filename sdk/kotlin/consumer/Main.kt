// A program of a stranger's, who has the jar, its POM and nothing else: it prints what it sees and ends.

import com.replyhq.sdk.ClientConfig
import com.replyhq.sdk.Delivery
import com.replyhq.sdk.ReplyHQClient
import com.replyhq.sdk.User
import com.replyhq.sdk.withDeviceContext
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

fun main(arguments: Array<String>) = runBlocking {
    val (serverUrl, appId, apiKey, dataDir) = arguments
    val config = ClientConfig(serverUrl, appId, apiKey, dataDir).withDeviceContext(mapOf("app_version" to "1.2.3"))
    val client = ReplyHQClient.open(config)
    client.identify(User("stranger", name = "A Stranger"))
    client.send("Hello from a jar")
    val sent = withTimeout(20.seconds) {
        client.timeline().first { shown -> shown.items.isNotEmpty() && shown.items.all { it.delivery is Delivery.Sent } }
    }
    println(sent.items.joinToString { "${it.sender}: ${it.body}" })
    client.shutDown()
}
