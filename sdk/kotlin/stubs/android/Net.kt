@file:Suppress("PackageDirectoryMismatch", "UNUSED_PARAMETER")

package android.net

class Network(private val name: String) {
    override fun equals(other: Any?) = other is Network && other.name == name

    override fun hashCode() = name.hashCode()
}

class ConnectivityManager {
    val callbacks = mutableListOf<NetworkCallback>()

    fun registerDefaultNetworkCallback(callback: NetworkCallback) {
        callbacks += callback
    }

    fun unregisterNetworkCallback(callback: NetworkCallback) {
        callbacks -= callback
    }

    open class NetworkCallback {
        open fun onAvailable(network: Network) = Unit

        open fun onLost(network: Network) = Unit
    }
}
