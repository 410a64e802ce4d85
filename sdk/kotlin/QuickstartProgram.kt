// The quickstart as a program: what it prints is what its reader sees.

package com.replyhq.sdk.tests

import kotlinx.coroutines.runBlocking

fun main(arguments: Array<String>) = runBlocking {
    val (serverUrl, appId, apiKey, dataDir) = arguments
    quickstart(serverUrl, appId, apiKey, dataDir)
}
