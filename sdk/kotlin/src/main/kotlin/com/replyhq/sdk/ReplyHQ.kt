// The SDK as Kotlin code uses it: flows and suspending functions over the generated bindings.

package com.replyhq.sdk

import java.lang.ref.WeakReference
import java.net.InetSocketAddress
import java.net.Proxy
import java.net.ProxySelector
import java.net.URI
import java.security.KeyStore
import java.util.Locale
import java.util.TimeZone
import javax.net.ssl.TrustManagerFactory
import javax.net.ssl.X509TrustManager
import kotlin.coroutines.cancellation.CancellationException
import kotlin.time.Duration
import kotlin.time.Duration.Companion.days
import kotlin.time.toJavaDuration
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.channels.awaitClose
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.callbackFlow
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.launch

/**
 * What a call of the SDK fails with.
 *
 * @property code a constant word: the SDK's own, such as `OFFLINE`, or the server's; docs/sdk/README.md has all of them
 */
class ReplyHQException(val code: String, override val message: String, cause: Throwable? = null) :
    Exception(message, cause)

/**
 * A person with attributes: strings, numbers, booleans, null, lists and maps of such. At most 8 KiB as JSON.
 *
 * @throws ReplyHQException `INVALID_USER` if an attribute is anything else.
 */
fun User(id: String, name: String? = null, email: String? = null, attributes: Map<String, Any?>): User =
    User(id, name, email, attributesJson = json(attributes, "INVALID_USER"))

/**
 * The configuration with what agents are to know of the app and the device, such as `app_version`, beside what the SDK
 * tells by itself: system, version, model, language and time zone. Values as those of a person's attributes.
 *
 * @throws ReplyHQException `INVALID_CONFIG` if a value is anything else.
 */
fun ClientConfig.withDeviceContext(context: Map<String, Any?>): ClientConfig =
    copy(deviceContextJson = json(context, "INVALID_CONFIG"))

/**
 * Support chat inside an app. All of it may be used from any thread, and no call blocks its thread.
 *
 * A call goes on to its end even if the coroutine that waits for it is cancelled: a message that was given to [send] is
 * sent. One client at a time may have a data folder open.
 */
class ReplyHQClient private constructor(private val sdk: SdkClient) : AutoCloseable {
    private val states = States(sdk)

    /** How the client stands: connection, conversations, unread messages. The last one says that it is closed. */
    val state: StateFlow<ClientState> = states.shown

    /** Where the app's functions for tokens run. */
    private val fetching = CoroutineScope(SupervisorJob() + Dispatchers.Default)

    private val subscription = sdk.subscribeState(states)

    companion object {
        /**
         * Opens the data folder and starts connecting. What was queued before is sent.
         *
         * @param log hears the SDK's log, one line at a time, on a thread of the SDK's. No message and no key is in it.
         * @throws ReplyHQException `INVALID_CONFIG`, `ALREADY_OPEN`, `STORAGE`.
         */
        suspend fun open(
            config: ClientConfig,
            log: ((LogLevel, String) -> Unit)? = null,
        ): ReplyHQClient = told {
            val logger = log?.let {
                object : LogListener {
                    override fun onLog(level: LogLevel, message: String) = it(level, message)
                }
            }
            ReplyHQClient(SdkClient.open(config.completed(), logger))
        }

        /**
         * How many messages the person has not read, by the server's count, while no client is open: for a badge, in a
         * program that wakes up for it.
         *
         * @throws ReplyHQException `INVALID_CONFIG`, `ALREADY_OPEN`, `OFFLINE`, `STORAGE`, or the server's.
         */
        suspend fun fetchUnread(config: ClientConfig): Long =
            told { com.replyhq.sdk.fetchUnread(config.completed()) }
    }

    /**
     * The messages of a conversation that are on the device, as they change; without a name, of the person's current
     * conversation. A slow collector gets the newest. Ends when the client is closed.
     *
     * Fails with `UNKNOWN_CONVERSATION` as soon as it is known that there is none of that name.
     */
    fun timeline(conversation: String? = null): Flow<Timeline> = callbackFlow {
        val subscription = told {
            sdk.subscribeTimeline(conversation?.whole("UNKNOWN_CONVERSATION"), object : TimelineListener {
                override fun onTimeline(timeline: Timeline) {
                    trySend(timeline)
                }

                override fun onFailed(code: String, detail: String) {
                    channel.close(ReplyHQException(code, detail))
                }

                override fun onClosed() {
                    channel.close()
                }
            })
        }
        awaitClose { subscription.close() }
    }.conflate()

    /**
     * What happens from here on, each once: messages that have just arrived, for a sound or a banner, and that what was
     * stored had to be begun anew. What is to be shown is in [timeline]. Ends when the client is closed.
     */
    val events: Flow<ChatEvent> = callbackFlow {
        val subscription = told {
            sdk.subscribeEvents(object : EventListener {
                override fun onEvent(event: ChatEvent) {
                    trySend(event)
                }

                override fun onClosed() {
                    channel.close()
                }
            })
        }
        awaitClose { subscription.close() }
    }.buffer(EVENTS)

    /**
     * Says who uses the app. What was written without a name becomes theirs: all of it, or, where they have a file here
     * already, what waits to be sent.
     *
     * @throws ReplyHQException `INVALID_USER`, `STORAGE`, `CLOSED`.
     */
    suspend fun identify(user: User) = done {
        for (text in listOf(user.id, user.name, user.email, user.attributesJson)) text?.whole("INVALID_USER")
        sdk.identify(user)
    }

    /**
     * Says that somebody uses the app whom tokens of your backend prove: the devices of a person who is proven share what they
     * have written. [fetchToken] is called when the server has to be told, now or later, and never while the app is in the
     * background. Without a [userId] the token says who it is: one is fetched now, and nothing changes before it is there.
     *
     * @throws ReplyHQException `INVALID_USER`, `TOKEN_FAILED`, `NOT_POSSIBLE` where somebody else was named before the token
     * came, `STORAGE`, `CLOSED`.
     */
    suspend fun identify(userId: String? = null, fetchToken: suspend () -> String) = done {
        sdk.identifyByToken(userId?.whole("INVALID_USER"), TokensFrom(fetching, fetchToken))
    }

    /**
     * Forgets the person: nothing of them stays on the device, messages that were not sent yet included. The server is told
     * that they are gone from the device that it was, now or when it can be.
     *
     * @throws ReplyHQException `STORAGE`, `CLOSED`.
     */
    suspend fun logout() = done { sdk.logout() }

    /**
     * Stores a message on the device, to be sent as soon as that is possible; without a conversation, to the person's
     * current one, which the first message opens. Returns its local id.
     *
     * @throws ReplyHQException `EMPTY_BODY`, `BODY_TOO_LONG`, `INVALID_BODY`, `QUEUE_FULL`, `UNKNOWN_CONVERSATION`,
     * `STORAGE`, `CLOSED`.
     */
    suspend fun send(body: String, conversation: String? = null): String = done {
        sdk.send(conversation?.whole("UNKNOWN_CONVERSATION"), body.whole("INVALID_BODY"))
    }

    /**
     * Tries a wedged message again.
     *
     * @throws ReplyHQException `UNKNOWN_MESSAGE`, `NOT_POSSIBLE`, `QUEUE_FULL`, `STORAGE`, `CLOSED`.
     */
    suspend fun retry(localId: String) = done { sdk.retry(localId.whole("UNKNOWN_MESSAGE")) }

    /**
     * Takes a message back that waits or was set aside. One that was on its way before may have reached the server all
     * the same, and then shows up again as sent.
     *
     * @throws ReplyHQException `UNKNOWN_MESSAGE`, `NOT_POSSIBLE`, `STORAGE`, `CLOSED`.
     */
    suspend fun cancel(localId: String) = done { sdk.cancel(localId.whole("UNKNOWN_MESSAGE")) }

    /**
     * Makes the timeline show up to 50 older messages more, fetched where they are not on the device. Returns whether
     * there are still more.
     *
     * @throws ReplyHQException `OFFLINE`, `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`, or the server's.
     */
    suspend fun loadOlder(conversation: String? = null): Boolean = done {
        sdk.loadOlder(conversation?.whole("UNKNOWN_CONVERSATION"))
    }

    /**
     * Says that the person has read all that is there.
     *
     * @throws ReplyHQException `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`.
     */
    suspend fun markRead(conversation: String? = null) = done {
        sdk.markRead(conversation?.whole("UNKNOWN_CONVERSATION"))
    }

    /**
     * Says whether the person types: true with each key, false when they leave the field.
     *
     * @throws ReplyHQException `UNKNOWN_CONVERSATION`, `CLOSED`.
     */
    suspend fun typing(isTyping: Boolean, conversation: String? = null) = done {
        sdk.typing(conversation?.whole("UNKNOWN_CONVERSATION"), isTyping)
    }

    /**
     * Says whether the device has a network. Until this is called, it is taken to have one.
     *
     * @throws ReplyHQException `CLOSED`.
     */
    suspend fun setNetwork(isAvailable: Boolean) = done { sdk.setNetwork(isAvailable) }

    /**
     * Says that the device is on another network than before, as when it leaves Wi-Fi: a connection is made anew, at once.
     *
     * @throws ReplyHQException `CLOSED`.
     */
    suspend fun networkChanged() = done { sdk.networkChanged() }

    /**
     * Says whether the person sees the app; until this is called, it is taken to be seen. In the background the queue
     * is emptied for up to 10 s, then the connection is closed.
     *
     * @throws ReplyHQException `CLOSED`.
     */
    suspend fun setForeground(isForeground: Boolean) = done { sdk.setForeground(isForeground) }

    /**
     * Goes on with another API key.
     *
     * @throws ReplyHQException `INVALID_CONFIG`, `CLOSED`.
     */
    suspend fun setApiKey(apiKey: String) = done { sdk.setApiKey(apiKey.whole("INVALID_CONFIG")) }

    /**
     * Waits until nothing is queued, at most that long. Returns how many messages still are.
     *
     * @throws ReplyHQException `STORAGE`, `CLOSED`.
     */
    suspend fun drain(timeout: Duration): Long = done {
        sdk.drain(timeout.coerceIn(Duration.ZERO, 1.days).toJavaDuration())
    }

    /** Does what the app asks for; what it changes is in [state] before it is answered. */
    private inline fun <T> done(call: () -> T): T = told { call().also { states.read() } }

    /** Stops everything. When it returns, the data folder may be opened again; what is queued is still there. */
    suspend fun shutDown() {
        try {
            sdk.shutDown()
        } catch (closed: IllegalStateException) {
            if (closed is CancellationException) throw closed
        }
        close()
    }

    /** As [shutDown], but returns at once: the data folder is released soon after. */
    override fun close() {
        subscription.close()
        fetching.cancel()
        states.close()
        sdk.destroy()
    }
}

/** Events that wait for a slow collector; further ones are missed. */
private const val EVENTS = 256

/**
 * What is shown of how the client stands: the newest whenever it is read, by who has changed it or was told that it has. What
 * one is told may be older by then than what another has read.
 */
private class States(sdk: SdkClient) : StateListener {
    // The SDK knows its listener: who is let go of is to be collected, and closes then.
    private val sdk = WeakReference(sdk)
    private val newest = MutableStateFlow(sdk.state())
    val shown = newest.asStateFlow()

    @Synchronized
    fun read() {
        if (newest.value.isClosed) return
        newest.value = try {
            sdk.get()?.state() ?: return
        } catch (_: IllegalStateException) {
            // It is being closed.
            return
        }
    }

    @Synchronized
    fun close() {
        newest.value = newest.value.copy(connection = ConnectionState.Closed)
    }

    override fun onState(state: ClientState) = read()

    // The last state has said so.
    override fun onClosed() = Unit
}

private class TokensFrom(private val scope: CoroutineScope, private val fetch: suspend () -> String) : TokenListener {
    override fun onTokenWanted(request: TokenRequest) {
        scope.launch {
            // Closed without an answer, as where the client is, there is no token.
            request.use {
                try {
                    it.give(fetch().whole("TOKEN_FAILED"))
                } catch (cancelled: CancellationException) {
                    it.fail("it was cancelled")
                    throw cancelled
                } catch (failed: Exception) {
                    it.fail(failed.toString())
                }
            }
        }
    }
}

private val ClientState.isClosed get() = connection is ConnectionState.Closed

/**
 * The text, if it is one: cut in two, a character outside the first plane, such as an emoji, is none any more. To be asked
 * before the bindings are, which lose what they have begun with when they find that out themselves.
 */
private fun String.whole(code: String): String {
    var at = 0
    while (at < length) {
        val isPair = this[at].isHighSurrogate() && at + 1 < length && this[at + 1].isLowSurrogate()
        if (this[at].isSurrogate() && !isPair) {
            throw ReplyHQException(code, "the text has half of a character at $at, as where one was cut in two")
        }
        at += if (isPair) 2 else 1
    }
    return this
}

private fun ClientConfig.whole(): ClientConfig {
    val texts = listOf(
        serverUrl, appId, apiKey, dataDir, extraRootCertificatesPem, proxyUrl, storageKey, firstDeviceId,
        deviceContextJson,
    )
    for (text in texts + pinnedPublicKeys) text?.whole("INVALID_CONFIG")
    return this
}

/** Makes the bindings' exceptions the SDK's. */
private inline fun <T> told(call: () -> T): T = try {
    call()
} catch (failed: SdkException.Failed) {
    throw ReplyHQException(failed.code, failed.detail, failed)
} catch (defect: InternalException) {
    throw ReplyHQException("INTERNAL", defect.message ?: "the SDK failed", defect)
} catch (cancelled: CancellationException) {
    throw cancelled
} catch (destroyed: IllegalStateException) {
    throw ReplyHQException("CLOSED", "the client is closed", destroyed)
}

/** With what Java or Android knows of the system, where the app has not said it. */
private fun ClientConfig.completed(): ClientConfig = whole().copy(
    systemRootCertificates = systemRootCertificates.ifEmpty { systemRootCertificates() },
    proxyUrl = proxyUrl ?: systemProxy(serverUrl),
    deviceContextJson = if (describesDevice) withDevice(deviceContextJson) else null,
)

/** What the app tells goes before what the system does. */
private fun withDevice(told: String?): String {
    val device = json(device(), "INVALID_CONFIG").dropLast(1)
    val more = told?.trim()?.takeIf { it.startsWith('{') } ?: return told ?: "$device}"
    return if (more.drop(1).trimStart().startsWith('}')) "$device}" else "$device,${more.drop(1)}"
}

/** Nothing that would tell one device from another of its kind. */
private fun device(): Map<String, Any?> = mapOf(
    "platform" to (if (android("VERSION", "RELEASE") != null) "android" else null),
    "os_version" to (android("VERSION", "RELEASE") ?: System.getProperty("os.version")),
    "model" to (model() ?: System.getProperty("os.arch")),
    "runtime" to System.getProperty("java.version")?.takeIf { it != "0" }?.let { "Java $it" },
    "locale" to Locale.getDefault().toLanguageTag(),
    "time_zone" to TimeZone.getDefault().id,
).filterValues { it != null }

private fun model(): String? {
    val model = android(null, "MODEL") ?: return null
    val maker = android(null, "MANUFACTURER") ?: return model
    return if (model.startsWith(maker, ignoreCase = true)) model else "$maker $model"
}

/** A field of `android.os.Build`, or of a class in it; nothing where this is no Android. */
private fun android(inner: String?, field: String): String? = try {
    val name = if (inner == null) "android.os.Build" else "android.os.Build$$inner"
    Class.forName(name).getField(field).get(null) as? String
} catch (_: ReflectiveOperationException) {
    null
}

/** The authorities that Java or Android trusts, those of a company among them. */
private fun systemRootCertificates(): List<ByteArray> = try {
    val factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm())
    factory.init(null as KeyStore?)
    val managers = factory.trustManagers.filterIsInstance<X509TrustManager>()
    managers.flatMap { it.acceptedIssuers.asList() }.map { it.encoded }
} catch (_: java.security.GeneralSecurityException) {
    emptyList()
}

private fun systemProxy(serverUrl: String): String? = try {
    val proxies = ProxySelector.getDefault()?.select(URI(serverUrl)).orEmpty()
    val address = proxies.firstOrNull { it.type() == Proxy.Type.HTTP }?.address() as? InetSocketAddress
    address?.let { if (':' in it.hostString) "http://[${it.hostString}]:${it.port}" else "http://${it.hostString}:${it.port}" }
} catch (_: java.net.URISyntaxException) {
    null
} catch (_: IllegalArgumentException) {
    null
}

private fun json(map: Map<String, Any?>, code: String): String = try {
    buildString { appendJson(map) }
} catch (wrong: IllegalArgumentException) {
    throw ReplyHQException(code, wrong.message ?: "it is not what JSON has", wrong)
}

private fun StringBuilder.appendJson(value: Any?) {
    when (value) {
        null, is Boolean, is Byte, is Short, is Int, is Long -> append(value)
        is Float, is Double -> {
            require((value as Number).toDouble().isFinite()) { "JSON has no $value" }
            append(value)
        }
        is CharSequence -> appendJsonString(value)
        is Iterable<*> -> appendAll('[', value, ']') { appendJson(it) }
        is Map<*, *> -> appendAll('{', value.entries, '}') { (key, item) ->
            appendJsonString(requireNotNull(key as? String) { "a key is text, not $key" })
            append(':')
            appendJson(item)
        }
        else -> throw IllegalArgumentException("an attribute can't be a ${value::class.simpleName}")
    }
}

private inline fun <T> StringBuilder.appendAll(begin: Char, items: Iterable<T>, end: Char, append: (T) -> Unit) {
    append(begin)
    items.forEachIndexed { index, item ->
        if (index > 0) append(',')
        append(item)
    }
    append(end)
}

private fun StringBuilder.appendJsonString(text: CharSequence) {
    append('"')
    for (char in text) {
        when {
            char == '"' || char == '\\' -> append('\\').append(char)
            char < ' ' -> append("\\u%04x".format(char.code))
            else -> append(char)
        }
    }
    append('"')
}
