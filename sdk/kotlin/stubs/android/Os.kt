@file:Suppress("PackageDirectoryMismatch", "UNUSED_PARAMETER", "unused")

package android.os

import java.util.Timer
import java.util.TimerTask

class Bundle

class Looper private constructor() {
    companion object {
        private val main = Looper()

        @JvmStatic
        fun getMainLooper() = main
    }
}

class Handler(looper: Looper) {
    private val timer = Timer(true)
    private val waiting = mutableMapOf<Runnable, TimerTask>()

    @Synchronized
    fun postDelayed(runnable: Runnable, delayMillis: Long): Boolean {
        val task = object : TimerTask() {
            override fun run() = runnable.run()
        }
        waiting[runnable] = task
        timer.schedule(task, delayMillis)
        return true
    }

    @Synchronized
    fun removeCallbacks(runnable: Runnable) {
        waiting.remove(runnable)?.cancel()
    }
}
