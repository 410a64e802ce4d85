@file:Suppress("PackageDirectoryMismatch")

package android.content

abstract class Context {
    abstract fun getSystemService(name: String): Any?

    companion object {
        const val CONNECTIVITY_SERVICE = "connectivity"
    }
}
