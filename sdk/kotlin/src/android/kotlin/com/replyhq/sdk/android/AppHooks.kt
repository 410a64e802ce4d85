// What Android knows of the network and of who looks at the app, told to the client.

package com.replyhq.sdk.android

import android.app.Activity
import android.app.Application
import android.content.Context
import android.net.ConnectivityManager
import android.net.Network
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import com.replyhq.sdk.ReplyHQClient
import com.replyhq.sdk.ReplyHQException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.launch

/**
 * Tells the client of each change of the network, and whether any screen of the app is seen, until [close]. One for each
 * client, made on the main thread in `Application.onCreate`, or wherever the client is opened:
 *
 *     val client = ReplyHQClient.open(config)
 *     val hooks = AppHooks(application, client)
 *
 * The library's manifest asks for `ACCESS_NETWORK_STATE`, which this needs.
 *
 * @param isSeen whether a screen of the app is seen already: true where an activity opens the client.
 */
class AppHooks(
    private val application: Application,
    private val client: ReplyHQClient,
    isSeen: Boolean = false,
) : AutoCloseable {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)

    /** One after the other: what was known later must not be told before. */
    private val calls = Channel<suspend ReplyHQClient.() -> Unit>(Channel.UNLIMITED)
    private val network = NetworkHook(calls)
    private val screens = ScreensHook(calls, isSeen)
    private val connectivity =
        application.getSystemService(Context.CONNECTIVITY_SERVICE) as ConnectivityManager

    init {
        scope.launch {
            for (call in calls) {
                try {
                    client.call()
                } catch (closed: ReplyHQException) {
                    // Only a client that is closed refuses these; there is nothing left to tell it.
                    break
                }
            }
        }
        connectivity.registerDefaultNetworkCallback(network)
        application.registerActivityLifecycleCallbacks(screens)
    }

    /** Tells nothing any more. */
    override fun close() {
        connectivity.unregisterNetworkCallback(network)
        application.unregisterActivityLifecycleCallbacks(screens)
        screens.forget()
        calls.close()
        scope.cancel()
    }
}

private typealias Calls = Channel<suspend ReplyHQClient.() -> Unit>

/** The network that the app uses. From Wi-Fi to mobile, Android tells the new one and never that the old one was lost. */
private class NetworkHook(private val calls: Calls) : ConnectivityManager.NetworkCallback() {
    private var current: Network? = null

    override fun onAvailable(network: Network) {
        val former = current
        current = network
        if (former == null || former == network) {
            calls.trySend { setNetwork(true) }
        } else {
            calls.trySend { networkChanged() }
        }
    }

    override fun onLost(network: Network) {
        if (network == current) current = null
        calls.trySend { setNetwork(false) }
    }
}

/** Whether any activity is started. One that is turned round stops for a moment: that is no background. */
private class ScreensHook(private val calls: Calls, isSeen: Boolean) : Application.ActivityLifecycleCallbacks {
    private val main = Handler(Looper.getMainLooper())
    private var started = if (isSeen) 1 else 0
    private val toBackground = Runnable {
        if (started == 0) calls.trySend { setForeground(false) }
    }

    fun forget() = main.removeCallbacks(toBackground)

    override fun onActivityStarted(activity: Activity) {
        started += 1
        main.removeCallbacks(toBackground)
        if (started == 1) calls.trySend { setForeground(true) }
    }

    override fun onActivityStopped(activity: Activity) {
        started = (started - 1).coerceAtLeast(0)
        if (started == 0) main.postDelayed(toBackground, TURNING_MS)
    }

    override fun onActivityCreated(activity: Activity, savedInstanceState: Bundle?) = Unit

    override fun onActivityResumed(activity: Activity) = Unit

    override fun onActivityPaused(activity: Activity) = Unit

    override fun onActivitySaveInstanceState(activity: Activity, outState: Bundle) = Unit

    override fun onActivityDestroyed(activity: Activity) = Unit

    private companion object {
        /** As long as Android's own `ProcessLifecycleOwner` waits. */
        const val TURNING_MS = 700L
    }
}
