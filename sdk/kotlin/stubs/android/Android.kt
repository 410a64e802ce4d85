// As much of Android as the hooks use, for compiling and trying them where there is no Android SDK. Never packaged. Names and
// types are those of API 36.

@file:Suppress("PackageDirectoryMismatch", "unused", "UNUSED_PARAMETER")

package android.app

import android.content.Context
import android.os.Bundle

open class Activity

open class Application(private val services: Map<String, Any>) : Context() {
    val callbacks = mutableListOf<ActivityLifecycleCallbacks>()

    override fun getSystemService(name: String): Any? = services[name]

    fun registerActivityLifecycleCallbacks(callback: ActivityLifecycleCallbacks) {
        callbacks += callback
    }

    fun unregisterActivityLifecycleCallbacks(callback: ActivityLifecycleCallbacks) {
        callbacks -= callback
    }

    interface ActivityLifecycleCallbacks {
        fun onActivityCreated(activity: Activity, savedInstanceState: Bundle?)
        fun onActivityStarted(activity: Activity)
        fun onActivityResumed(activity: Activity)
        fun onActivityPaused(activity: Activity)
        fun onActivityStopped(activity: Activity)
        fun onActivitySaveInstanceState(activity: Activity, outState: Bundle)
        fun onActivityDestroyed(activity: Activity)
    }
}
