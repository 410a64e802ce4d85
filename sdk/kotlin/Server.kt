// For the tests: a server of their own, and an agent at it.

package com.replyhq.sdk.tests

import java.net.ServerSocket
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.net.http.WebSocket
import java.util.Base64
import java.util.concurrent.CompletionStage
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit.SECONDS
import javax.crypto.Mac
import javax.crypto.spec.SecretKeySpec
import kotlin.io.path.createTempDirectory

/** How many seconds anything may take before a test fails. Far more than is ever needed. */
const val PATIENCE = 20L

/** The real binary, on a folder and a port that it keeps over restarts. */
class Server : AutoCloseable {
    private val folder = createTempDirectory("replyhq-kotlin-").toFile()
    private val port = ServerSocket(0).use { it.localPort }
    private var process: Process? = null
    val url = "http://127.0.0.1:$port"
    val appId: String
    val apiKey: String
    val adminToken: String

    /** What a backend signs its people's tokens with. */
    val identitySecret: String

    init {
        val app = command("app", "create", "Shop")
        appId = app.text("app_id")
        apiKey = app.text("api_key")
        adminToken = command("token", "create", "--app", appId, "--name", "Ada").text("admin_token")
        identitySecret = command("identity", "add-secret", "--app", appId).text("secret")
    }

    fun start() {
        val started = process("serve", "--listen", "127.0.0.1:$port", "--log-level", "warn")
        val line = started.inputStream.bufferedReader().readLine()
        check(line == "replyhq is ready on $url") { "the server printed $line" }
        process = started
    }

    fun kill() {
        process?.destroyForcibly()?.waitFor()
    }

    /** Takes back what proved who is at a device. */
    fun unbind(deviceId: String) {
        command("device", "unbind", "--app", appId, deviceId)
    }

    /** What a backend would sign: docs/people.md. */
    fun tokenOf(userId: String): String {
        val encoder = Base64.getUrlEncoder().withoutPadding()
        val claims = """{"sub":"$userId","exp":${System.currentTimeMillis() / 1000 + 600}}"""
        val signed = listOf("""{"alg":"HS256"}""", claims).joinToString(".") { encoder.encodeToString(it.toByteArray()) }
        val mac = Mac.getInstance("HmacSHA256").apply { init(SecretKeySpec(identitySecret.toByteArray(), "HmacSHA256")) }
        return "$signed.${encoder.encodeToString(mac.doFinal(signed.toByteArray()))}"
    }

    override fun close() {
        kill()
        folder.deleteRecursively()
    }

    private fun command(vararg arguments: String): String {
        val command = process(*arguments, "--json")
        val printed = command.inputStream.bufferedReader().readText()
        check(command.waitFor() == 0) { arguments.toList() }
        return printed
    }

    private fun process(vararg arguments: String) =
        ProcessBuilder(System.getenv("REPLYHQ_BINARY"), *arguments, "--data-dir", folder.path)
            .redirectError(ProcessBuilder.Redirect.INHERIT).start()
}

/** A stored message, as agents see it. */
data class Stored(val seq: Int, val body: String, val sender: String, val status: String)

/** An agent: REST, and a socket for what only travels there. */
class Agent(private val server: Server) {
    private val http = HttpClient.newHttpClient()

    /** The ids of all conversations of the app. */
    fun conversations(): List<String> = rest("GET", "").texts("id").filter { it.startsWith("conv_") }.distinct()

    /** Everything in the conversation, by `seq`. */
    fun messages(conversation: String): List<Stored> {
        val page = rest("GET", "/$conversation/messages?limit=200")
        val seqs = Regex("\"seq\":(\\d+)").findAll(page).map { it.groupValues[1].toInt() }.toList()
        val (bodies, senders, statuses) = listOf("body", "sender", "status").map { page.texts(it) }
        return seqs.indices.map { Stored(seqs[it], bodies[it], senders[it], statuses[it]) }
    }

    /** Writes, and returns the message's id. */
    fun write(conversation: String, body: String): String {
        val message = """{"local_id":"${System.nanoTime()}","body":"$body"}"""
        return rest("POST", "/$conversation/messages", message).texts("id").first { it.startsWith("msg_") }
    }

    /** Connects, and joins the conversation. */
    fun connect(conversation: String) = AgentSocket(http, server, conversation)

    fun block(deviceId: String, isBlocked: Boolean) = admin("PATCH", "devices/$deviceId", """{"blocked":$isBlocked}""")

    /** The devices at which the person of a conversation is verified. */
    fun verifiedDevices(conversation: String): List<String> {
        val devices = rest("GET", "/$conversation/person").substringAfter("\"devices\":").substringBefore("\"conversations\":")
        return devices.split("\"device_id\"").drop(1).filter { "\"is_verified\":true" in it }.map {
            it.substringAfter('"').substringBefore('"')
        }
    }

    private fun rest(method: String, path: String, body: String = "") = admin(method, "conversations$path", body)

    private fun admin(method: String, path: String, body: String): String {
        val request = HttpRequest.newBuilder(URI("${server.url}/v1/admin/$path"))
            .header("X-App-Id", server.appId).header("Authorization", "Bearer ${server.adminToken}")
            .header("Content-Type", "application/json")
            .method(method, HttpRequest.BodyPublishers.ofString(body)).build()
        val response = http.send(request, HttpResponse.BodyHandlers.ofString())
        check(response.statusCode() in 200..299) { "$method $path: ${response.statusCode()} ${response.body()}" }
        return response.body()
    }
}

/** An agent's connection: Socket.IO as it is written on the wire. Everything done on it is acknowledged. */
class AgentSocket(http: HttpClient, server: Server, private val conversation: String) : AutoCloseable {
    private val heard = LinkedBlockingQueue<String>()
    private val socket: WebSocket

    init {
        val listener = object : WebSocket.Listener {
            private val frame = StringBuilder()

            override fun onText(socket: WebSocket, data: CharSequence, last: Boolean): CompletionStage<*>? {
                frame.append(data)
                if (last) {
                    heard.put(frame.toString())
                    frame.clear()
                }
                socket.request(1)
                return null
            }
        }
        val address = URI(server.url.replace("http", "ws") + "/v1/socket.io/?EIO=4&transport=websocket")
        socket = http.newWebSocketBuilder().buildAsync(address, listener).get(PATIENCE, SECONDS)
        await("0")
        say("""40/admin,{"app_id":"${server.appId}","admin_token":"${server.adminToken}"}""")
        await("40/admin,")
        emit("conversation:join")
    }

    fun typing(isTyping: Boolean) = emit(if (isTyping) "typing:start" else "typing:stop")

    fun read(upTo: String) = emit("message:read", ""","up_to_message_id":"$upTo"""")

    override fun close() = socket.abort()

    private fun emit(name: String, more: String = "") {
        say("""42/admin,1["$name",{"conversation_id":"$conversation"$more}]""")
        val ack = await("43/admin,1")
        check("\"success\":true" in ack) { "$name: $ack" }
    }

    private fun say(frame: String) {
        socket.sendText(frame, true).get(PATIENCE, SECONDS)
    }

    private fun await(prefix: String): String {
        while (true) {
            val frame = checkNotNull(heard.poll(PATIENCE, SECONDS)) { "waited for $prefix" }
            if (frame.startsWith(prefix)) return frame
        }
    }
}

/** The first value under this name. What the server writes here has no escapes in it. */
private fun String.text(name: String) = texts(name).first()

private fun String.texts(name: String): List<String> =
    Regex("\"$name\":\"([^\"]*)\"").findAll(this).map { it.groupValues[1] }.toList()
