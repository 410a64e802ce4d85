// The SDK as Kotlin code uses it: flows and suspending functions over the generated bindings.

package com.replyhq.sdk

import kotlin.coroutines.cancellation.CancellationException
import kotlin.time.Duration
import kotlin.time.toJavaDuration
import kotlinx.coroutines.channels.awaitClose
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.callbackFlow
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.update

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
 * @throws IllegalArgumentException if an attribute is anything else.
 */
fun User(id: String, name: String? = null, email: String? = null, attributes: Map<String, Any?>): User =
    User(id, name, email, attributesJson = buildString { appendJson(attributes) })

/**
 * Support chat inside an app. All of it may be used from any thread, and no call blocks its thread.
 *
 * A call goes on to its end even if the coroutine that waits for it is cancelled: a message that was given to [send] is
 * sent. One client at a time may have a data folder open.
 */
class ReplyHQClient private constructor(private val sdk: SdkClient) : AutoCloseable {
    private val states = MutableStateFlow(sdk.state())

    /** How the client stands: connection, conversations, unread messages. The last one says that it is closed. */
    val state: StateFlow<ClientState> = states.asStateFlow()

    private val subscription = sdk.subscribeState(object : StateListener {
        override fun onState(state: ClientState) = states.update { if (it.isClosed) it else state }

        // The last state has said so.
        override fun onClosed() = Unit
    })

    companion object {
        /**
         * Opens the data folder and starts connecting. What was queued before is sent.
         *
         * @param log hears the SDK's log, one line at a time, on a thread of the SDK's. No message and no key is in it.
         * @throws ReplyHQException `INVALID_CONFIG`, `ALREADY_OPEN`, `STORAGE`.
         */
        suspend fun open(config: ClientConfig, log: ((LogLevel, String) -> Unit)? = null): ReplyHQClient = told {
            val logger = log?.let {
                object : LogListener {
                    override fun onLog(level: LogLevel, message: String) = it(level, message)
                }
            }
            ReplyHQClient(SdkClient.open(config, logger))
        }
    }

    /**
     * The messages of a conversation that are on the device, as they change; without a name, of the person's current
     * conversation. A slow collector gets the newest. Ends when the client is closed.
     */
    fun timeline(conversation: String? = null): Flow<Timeline> = callbackFlow {
        val subscription = told {
            sdk.subscribeTimeline(conversation, object : TimelineListener {
                override fun onTimeline(timeline: Timeline) {
                    trySend(timeline)
                }

                override fun onClosed() {
                    channel.close()
                }
            })
        }
        awaitClose { subscription.close() }
    }.conflate()

    /**
     * Says who uses the app. What was written without a name becomes theirs, unless they have a file here already.
     *
     * @throws ReplyHQException `INVALID_USER`, `STORAGE`, `CLOSED`.
     */
    suspend fun identify(user: User) = told { sdk.identify(user) }

    /**
     * Forgets the person: nothing of them stays on the device, messages that were not sent yet included.
     *
     * @throws ReplyHQException `STORAGE`, `CLOSED`.
     */
    suspend fun logout() = told { sdk.logout() }

    /**
     * Stores a message on the device, to be sent as soon as that is possible; without a conversation, to the person's
     * current one, which the first message opens. Returns its local id.
     *
     * @throws ReplyHQException `EMPTY_BODY`, `BODY_TOO_LONG`, `INVALID_BODY`, `QUEUE_FULL`, `UNKNOWN_CONVERSATION`,
     * `STORAGE`, `CLOSED`.
     */
    suspend fun send(body: String, conversation: String? = null): String = told { sdk.send(conversation, body) }

    /**
     * Tries a wedged message again.
     *
     * @throws ReplyHQException `UNKNOWN_MESSAGE`, `NOT_POSSIBLE`, `QUEUE_FULL`, `STORAGE`, `CLOSED`.
     */
    suspend fun retry(localId: String) = told { sdk.retry(localId) }

    /**
     * Takes a message back that waits or was set aside. One that was on its way before may have reached the server all
     * the same, and then shows up again as sent.
     *
     * @throws ReplyHQException `UNKNOWN_MESSAGE`, `NOT_POSSIBLE`, `STORAGE`, `CLOSED`.
     */
    suspend fun cancel(localId: String) = told { sdk.cancel(localId) }

    /**
     * Makes the timeline show up to 50 older messages more, fetched where they are not on the device. Returns whether
     * there are still more.
     *
     * @throws ReplyHQException `OFFLINE`, `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`, or the server's.
     */
    suspend fun loadOlder(conversation: String? = null): Boolean = told { sdk.loadOlder(conversation) }

    /**
     * Says that the person has read all that is there.
     *
     * @throws ReplyHQException `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`.
     */
    suspend fun markRead(conversation: String? = null) = told { sdk.markRead(conversation) }

    /**
     * Says whether the person types: true with each key, false when they leave the field.
     *
     * @throws ReplyHQException `UNKNOWN_CONVERSATION`, `CLOSED`.
     */
    suspend fun typing(isTyping: Boolean, conversation: String? = null) = told { sdk.typing(conversation, isTyping) }

    /**
     * Says whether the device has a network. Until this is called, it is taken to have one.
     *
     * @throws ReplyHQException `CLOSED`.
     */
    suspend fun setNetwork(isAvailable: Boolean) = told { sdk.setNetwork(isAvailable) }

    /**
     * Says that the device is on another network than before, as when it leaves Wi-Fi: a connection is made anew, at once.
     *
     * @throws ReplyHQException `CLOSED`.
     */
    suspend fun networkChanged() = told { sdk.networkChanged() }

    /**
     * Says whether the person sees the app; until this is called, it is taken to be seen. In the background the queue
     * is emptied for up to 10 s, then the connection is closed.
     *
     * @throws ReplyHQException `CLOSED`.
     */
    suspend fun setForeground(isForeground: Boolean) = told { sdk.setForeground(isForeground) }

    /**
     * Goes on with another API key.
     *
     * @throws ReplyHQException `CLOSED`.
     */
    suspend fun setApiKey(apiKey: String) = told { sdk.setApiKey(apiKey) }

    /**
     * Waits until nothing is queued, at most that long. Returns how many messages still are.
     *
     * @throws ReplyHQException `STORAGE`, `CLOSED`.
     */
    suspend fun drain(timeout: Duration): Long = told { sdk.drain(timeout.toJavaDuration()) }

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
        states.update { it.copy(connection = ConnectionState.Closed) }
        sdk.destroy()
    }
}

private val ClientState.isClosed get() = connection is ConnectionState.Closed

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
