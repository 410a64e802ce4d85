// The SDK on the JVM against a real server: the quickstart, what the wrapper itself promises, and one long story.

package com.replyhq.sdk.tests

import android.app.Activity
import android.app.Application
import android.content.Context
import android.net.ConnectivityManager
import android.net.Network
import com.replyhq.sdk.ChatEvent
import com.replyhq.sdk.ClientConfig
import com.replyhq.sdk.ConnectionState
import com.replyhq.sdk.Delivery
import com.replyhq.sdk.LogLevel
import com.replyhq.sdk.ReplyHQClient
import com.replyhq.sdk.ReplyHQException
import com.replyhq.sdk.Sender
import com.replyhq.sdk.Timeline
import com.replyhq.sdk.User
import com.replyhq.sdk.android.AppHooks
import com.replyhq.sdk.withDeviceContext
import java.io.File
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.atomic.AtomicInteger
import kotlin.io.path.createTempDirectory
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull

fun main() {
    test("the quickstart prints what it sends, each time", ::quickstarts)
    test("a stranger's program with the jar alone sends its message", ::stranger)
    test("every error is the SDK's own, half of an emoji included", ::errors)
    test("a client that was let go of closes", ::letGo)
    test("what arrives is told once, what is unread is known while closed, and what is none is an error", ::events)
    test("Android's hooks tell of networks and screens", ::hooks)
    test("errors have a code, flows end with the client, and a throwing listener harms nothing", ::wrapper)
    test("a verified person's devices share what was written until they log out", ::verified)
    test("a function that gives no token is an error and changes nothing", ::noToken)
    test("nothing is lost, doubled or out of order from the first message to the logout", ::story)
}

/** A program of its own, as an app's developer runs it; what it printed. */
private fun program(classpath: String, main: String, vararg arguments: String): String {
    val command = listOf("java", "-classpath", System.getenv(classpath), main) + arguments
    val process = ProcessBuilder(command).redirectErrorStream(true).start()
    val printed = process.inputStream.bufferedReader().readText()
    expect(0, process.waitFor().also { if (it != 0) println(printed) })
    return printed
}

private suspend fun quickstarts() = Server().use { server ->
    server.start()
    val agent = Agent(server)
    repeat(12) { run ->
        val printed = program(
            "REPLYHQ_SUITE_CLASSPATH", "com.replyhq.sdk.tests.QuickstartProgramKt",
            server.url, server.appId, server.apiKey, folder().path,
        )
        check("USER: Hello! (Sent)" in printed) { printed }
        check("0 messages wait to be sent" in printed) { printed }
        expect(List(run + 1) { "Hello!" }, agent.conversations().flatMap { agent.messages(it) }.map { it.body })
    }
}

private suspend fun stranger() = Server().use { server ->
    server.start()
    val printed = program(
        "REPLYHQ_STRANGER_CLASSPATH", "MainKt", server.url, server.appId, server.apiKey, folder().path,
    )
    check("USER: Hello from a jar" in printed) { printed }
}

private suspend fun errors() {
    val config = ClientConfig("http://127.0.0.1:9", "app_1", "rhq_key_1", folder().path)
    val half = "\uD83D\uDE00".take(1)
    for (odd in listOf(
        config.copy(serverUrl = half), config.copy(dataDir = half), config.copy(proxyUrl = "socks5://x"),
        config.copy(pinnedPublicKeys = listOf("x")), config.copy(deviceContextJson = "[]"),
        config.copy(deviceContextJson = "{"), config.copy(extraRootCertificatesPem = "x", serverUrl = "https://x"),
    )) {
        expect("INVALID_CONFIG", codeOf { ReplyHQClient.open(odd) })
    }
    expect("INVALID_CONFIG", codeOf { config.withDeviceContext(mapOf("x" to Any())) })
    expect("INVALID_USER", codeOf { User("ann", attributes = mapOf("x" to Double.NaN)) })
    val client = ReplyHQClient.open(config.withDeviceContext(mapOf("app_version" to "1.2.3")))
    expect("INVALID_BODY", codeOf { client.send("cut in two: $half") })
    expect("INVALID_USER", codeOf { client.identify(User("ann", name = half)) })
    expect("INVALID_USER", codeOf { client.identify(User("ann", attributes = mapOf("x" to half))) })
    expect("UNKNOWN_MESSAGE", codeOf { client.retry(half) })
    expect("UNKNOWN_CONVERSATION", codeOf { client.markRead(half) })
    expect("UNKNOWN_CONVERSATION", codeOf { client.timeline(half).first() })
    expect("INVALID_CONFIG", codeOf { client.setApiKey("a\nb") })
    expect(0L, client.drain((-5).seconds))
    expect(0L, client.drain(kotlin.time.Duration.INFINITE))
    val waiting = client.state.waitFor("a reason") { it.connection is ConnectionState.Waiting }.connection
    expect("REFUSED", (waiting as ConnectionState.Waiting).reason)
    client.shutDown()
}

private suspend fun letGo() {
    val config = ClientConfig("http://127.0.0.1:9", "app_1", "rhq_key_1", folder().path)
    repeat(3) {
        openAndForget(config)
        // Nobody knows when the garbage is collected; asked for, it is soon.
        val again = waitFor("the folder is free") {
            System.gc()
            try {
                runBlocking { ReplyHQClient.open(config) }
            } catch (failed: ReplyHQException) {
                expect("ALREADY_OPEN", failed.code)
                null
            }
        }
        again.shutDown()
    }
    waitFor("the SDK's threads to end") {
        System.gc()
        Unit.takeIf { threads().none { it.startsWith("replyhq-") } }
    }
}

private fun threads(): List<String> = File("/proc/self/task").listFiles().orEmpty().mapNotNull {
    try {
        File(it, "comm").readText()
    } catch (_: java.io.IOException) {
        // It has ended meanwhile.
        null
    }
}

private suspend fun openAndForget(config: ClientConfig) {
    val client = ReplyHQClient.open(config) { _, _ -> }
    client.send("Hello")
    client.timeline().first()
}

private suspend fun events() = runBlocking {
    Server().use { server ->
        server.start()
        val agent = Agent(server)
        val config = ClientConfig(server.url, server.appId, server.apiKey, folder().path)
        val client = ReplyHQClient.open(config)
        val events = CopyOnWriteArrayList<ChatEvent>()
        val listening = launch(Dispatchers.Default) { client.events.collect { events += it } }
        client.send("Hello")
        client.state.waitFor("sent") { it.queued == 0L && it.conversations.isNotEmpty() }
        val conversation = agent.conversations().single()
        agent.write(conversation, "Hello Ann")
        waitFor("the event") { events.firstOrNull() }
        expect("UNKNOWN_CONVERSATION", codeOf { client.timeline("conv_nowhere").toList() })
        expect("ALREADY_OPEN", codeOf { ReplyHQClient.fetchUnread(config) })
        client.shutDown()
        listening.join()
        val arrived = events.single() as ChatEvent.MessageArrived
        expect(Pair(conversation, "Hello Ann"), Pair(arrived.conversationId, arrived.message.body))
        agent.write(conversation, "Are you there?")
        expect(2L, ReplyHQClient.fetchUnread(config))
        server.kill()
        expect("OFFLINE", codeOf { ReplyHQClient.fetchUnread(config) })
    }
}

private suspend fun hooks() = Server().use { server ->
    server.start()
    val client = ReplyHQClient.open(ClientConfig(server.url, server.appId, server.apiKey, folder().path))
    val connectivity = ConnectivityManager()
    val application = Application(mapOf(Context.CONNECTIVITY_SERVICE to connectivity))
    suspend fun standing(what: String, fits: (ConnectionState) -> Boolean) =
        client.state.waitFor(what) { fits(it.connection) }
    standing("online") { it is ConnectionState.Online }

    val hooks = AppHooks(application, client, isSeen = true)
    val network = connectivity.callbacks.single()
    network.onAvailable(Network("wifi"))
    network.onLost(Network("wifi"))
    standing("no network") { it is ConnectionState.Offline }
    network.onAvailable(Network("mobile"))
    standing("another network") { it is ConnectionState.Online }
    network.onAvailable(Network("wifi again"))
    standing("made anew") { it is ConnectionState.Online }

    val screens = application.callbacks.single()
    val activity = Activity()
    // Turned round, the app stays in front.
    screens.onActivityStopped(activity)
    screens.onActivityStarted(activity)
    delay(1_000)
    standing("still there") { it is ConnectionState.Online }
    screens.onActivityStopped(activity)
    standing("in the background") { it is ConnectionState.Offline }
    screens.onActivityStarted(activity)
    standing("in front again") { it is ConnectionState.Online }

    hooks.close()
    check(connectivity.callbacks.isEmpty() && application.callbacks.isEmpty())
    client.shutDown()
    AppHooks(application, client).close()
}

private suspend fun wrapper() {
    val folder = folder()
    val config = ClientConfig("http://127.0.0.1:9", "app_1", "rhq_key_1", folder.path)
    expect("INVALID_CONFIG", codeOf { ReplyHQClient.open(config.copy(serverUrl = "nowhere")) })
    val lines = CopyOnWriteArrayList<Pair<LogLevel, String>>()
    val client = ReplyHQClient.open(config) { level, line ->
        lines += level to line
        error("the app's own defect")
    }
    expect("ALREADY_OPEN", codeOf { ReplyHQClient.open(config) })
    expect("EMPTY_BODY", codeOf { client.send("") })
    expect("INVALID_USER", codeOf { client.identify(User("")) })
    client.setNetwork(false)
    // What a call has changed is in the state when it returns.
    repeat(50) { number ->
        client.identify(User("person-$number"))
        expect("person-$number", client.state.value.userId)
    }
    runBlocking {
        val timelines = async(Dispatchers.Default) { client.timeline().toList() }
        client.send("Hello")
        client.state.waitFor("queued") { it.queued == 1L }
        client.shutDown()
        expect(listOf("Hello"), timelines.await().last().items.map { it.body })
    }
    expect(ConnectionState.Closed, client.state.value.connection)
    expect("CLOSED", codeOf { client.send("Hello") })
    expect("CLOSED", codeOf { client.timeline().first() })
    client.shutDown()
    client.close()

    val again = ReplyHQClient.open(config)
    expect(1L, again.state.value.queued)
    again.shutDown()
}

private suspend fun verified() = Server().use { server ->
    server.start()
    val agent = Agent(server)
    val fetched = AtomicInteger()
    val fetchToken: suspend () -> String = {
        fetched.incrementAndGet()
        server.tokenOf("ann")
    }
    suspend fun client() = ReplyHQClient.open(ClientConfig(server.url, server.appId, server.apiKey, folder().path))
    val (first, second) = listOf(client(), client())
    suspend fun ReplyHQClient.newest(what: String, fits: (List<String>) -> Boolean): Timeline =
        checkNotNull(withTimeoutOrNull(PATIENCE.seconds) {
            timeline().first { shown -> fits(shown.items.map { it.body }) }
        }) { "waited for: $what" }

    signIn(first, "ann", fetchToken)
    expect("ann", first.state.value.userId)
    first.send("From the first")
    second.identify(fetchToken = fetchToken)
    expect("ann", second.state.value.userId)
    second.newest("the first's") { it == listOf("From the first") }
    second.send("From the second")
    val conversation = checkNotNull(first.newest("the second's") { it.size == 2 }.conversationId)
    val device = first.state.value.deviceId

    // What proved who is there is taken back: another token is fetched, and nothing is lost.
    val asked = fetched.get()
    server.unbind(device)
    first.send("Written meanwhile")
    second.newest("what was written meanwhile") { it.last() == "Written meanwhile" }
    check(fetched.get() > asked)

    // Blocked, it says so, and what is written waits.
    agent.block(device, true)
    first.state.waitFor("blocked") { it.connection is ConnectionState.Blocked }
    first.send("Written while blocked")
    first.state.waitFor("it waits") { it.queued == 1L && it.wedged == 0L }
    agent.block(device, false)
    first.networkChanged()
    second.newest("what waited") { it.last() == "Written while blocked" }

    signOut(first)
    first.state.waitFor("nobody") { it.userId == null && it.conversations.isEmpty() }
    waitFor("the server knows that they have gone") {
        Unit.takeIf { agent.verifiedDevices(conversation) == listOf(second.state.value.deviceId) }
    }
    first.shutDown()
    second.shutDown()
}

private suspend fun noToken() {
    val client = ReplyHQClient.open(ClientConfig("http://127.0.0.1:9", "app_1", "rhq_key_1", folder().path))
    val fails: suspend () -> String = { error("the backend is away") }
    val failed = runCatching { client.identify(fetchToken = fails) }.exceptionOrNull() as ReplyHQException
    expect("TOKEN_FAILED", failed.code)
    check("the backend is away" in failed.message) { failed.message }
    for (wrong in listOf("", "no token", "\uD83D")) {
        expect("TOKEN_FAILED", codeOf { client.identify { wrong } })
    }
    expect("INVALID_USER", codeOf { client.identify("", fails) })
    expect(null, client.state.value.userId)
    client.identify("ann", fails)
    expect("ann", client.state.value.userId)
    // Closed while a token is being fetched, nothing is waited for.
    val isAsked = CompletableDeferred<Unit>()
    runBlocking {
        val naming = async(Dispatchers.Default) {
            codeOf {
                client.identify {
                    isAsked.complete(Unit)
                    awaitCancellation()
                }
            }
        }
        isAsked.await()
        client.shutDown()
        expect("CLOSED", naming.await())
    }
}

private fun story() = runBlocking {
    Server().use { server ->
        val agent = Agent(server)
        val folder = folder()
        val client = ReplyHQClient.open(ClientConfig(server.url, server.appId, server.apiKey, folder.path))
        client.setNetwork(false)
        client.identify(User("user-ann-42", name = "Ann Example", email = "ann@example.com"))
        val timeline = MutableStateFlow(Timeline(null, emptyList(), false, false))
        val deliveries = ConcurrentHashMap<String, MutableSet<Delivery>>()
        val watching = launch(Dispatchers.Default) {
            client.timeline().collect { newest ->
                newest.items.forEach { deliveries.getOrPut(it.localId, ::LinkedHashSet).add(it.delivery) }
                timeline.value = newest
            }
        }

        // Offline: three messages are kept, in order.
        val mine = listOf("First of Ann", "Second of Ann", "Third of Ann").map { client.send(it) }.toMutableList()
        client.state.waitFor("three queued") { it.queued == 3L && it.connection is ConnectionState.Offline }
        timeline.waitFor("three shown") { shown -> shown.items.map { it.delivery } == List(3) { Delivery.Queued } }

        // Online: they are sent.
        server.start()
        client.setNetwork(true)
        client.state.waitFor("online") { it.connection is ConnectionState.Online && it.queued == 0L }
        val conversation = checkNotNull(timeline.waitFor("three sent") { shown ->
            shown.items.size == 3 && shown.items.all { it.delivery is Delivery.Sent }
        }.conversationId)
        expect(listOf(conversation), agent.conversations())

        // The device leaves one network for another.
        client.networkChanged()
        client.state.waitFor("online again") { it.connection is ConnectionState.Online }

        // The agent types and answers.
        agent.connect(conversation).use { ada ->
            ada.typing(true)
            timeline.waitFor("typing") { it.isAgentTyping }
            ada.typing(false)
            timeline.waitFor("typing no more") { !it.isAgentTyping }
        }
        agent.write(conversation, "Hello Ann")
        val answer = timeline.waitFor("an answer") { it.items.size == 4 }.items.last()
        expect(Triple("Hello Ann", Sender.AGENT, "Ada"), Triple(answer.body, answer.sender, answer.senderName))
        client.state.waitFor("one unread") { it.unread == 1L }
        client.typing(true)

        // The server dies and comes back; both sides write meanwhile or soon after.
        server.kill()
        client.state.waitFor("the connection is lost") { it.connection !is ConnectionState.Online }
        mine += client.send("Fourth of Ann")
        client.state.waitFor("one queued") { it.queued == 1L }
        timeline.waitFor("it is shown as queued") { it.items.size == 5 && it.items.last().delivery is Delivery.Queued }
        server.start()
        agent.write(conversation, "Are you there?")
        timeline.waitFor("six messages") { shown -> shown.items.size == 6 && shown.items.all { it.seq != null } }
        client.state.waitFor("two unread") { it.unread == 2L && it.queued == 0L }

        // Both sides read.
        client.markRead()
        client.state.waitFor("none unread") { it.unread == 0L }
        val stored = timeline.value.items
        agent.connect(conversation).use { it.read(stored.last { item -> item.localId in mine }.messageId!!) }
        timeline.waitFor("all read") { shown -> shown.items.all { it.delivery is Delivery.Read } }
        for (localId in mine) {
            val seen = deliveries.getValue(localId)
            check(Delivery.Queued in seen && Delivery.Sent in seen && Delivery.Read in seen) { "$localId: $seen" }
        }
        val kept = waitFor("all is read") {
            agent.messages(conversation).takeIf { messages -> messages.all { it.status == "read" } }
        }
        expect((1..6).toList(), kept.map { it.seq })
        expect(stored.map { it.body }, kept.map { it.body })
        val bodies = listOf("First of Ann", "Second of Ann", "Third of Ann", "Fourth of Ann")
        expect(bodies, kept.filter { it.sender == "user" }.map { it.body })
        expect(listOf("Hello Ann", "Are you there?"), kept.filter { it.sender == "agent" }.map { it.body })

        // Nothing of the person stays.
        client.logout()
        client.state.waitFor("nobody") { it.userId == null && it.conversations.isEmpty() && it.unread == 0L }
        timeline.waitFor("nothing") { it.items.isEmpty() && it.conversationId == null }
        client.shutDown()
        watching.join()
        for (trace in kept.map { it.body } + listOf("user-ann-42", "Ann Example", "ann@example.com", conversation)) {
            for (file in folder.walk().filter(File::isFile)) {
                check(trace !in file.readText(Charsets.ISO_8859_1)) { "$file still has $trace" }
            }
        }
    }
}

private fun test(name: String, body: suspend () -> Unit) {
    val started = System.nanoTime()
    runBlocking { body() }
    println("ok: $name (${(System.nanoTime() - started) / 1_000_000} ms)")
}

/** A folder that is thrown away when the tests end. */
private fun folder(): File {
    val folder = createTempDirectory("replyhq-kotlin-sdk-").toFile()
    Runtime.getRuntime().addShutdownHook(Thread { folder.deleteRecursively() })
    return folder
}

private fun <T> expect(expected: T, found: T) = check(expected == found) { "expected $expected, found $found" }

private suspend fun codeOf(call: suspend () -> Unit): String = try {
    call()
    "none"
} catch (failed: ReplyHQException) {
    failed.code
}

private suspend fun <T : Any> StateFlow<T>.waitFor(what: String, fits: (T) -> Boolean): T =
    checkNotNull(withTimeoutOrNull(PATIENCE.seconds) { first(fits) }) { "waited for: $what; it is $value" }

private suspend fun <T : Any> waitFor(what: String, look: () -> T?): T {
    val deadline = System.nanoTime() + PATIENCE.seconds.inWholeNanoseconds
    while (true) {
        look()?.let { return it }
        check(System.nanoTime() < deadline) { "waited for: $what" }
        delay(20)
    }
}
