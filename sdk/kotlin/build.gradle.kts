// The Android library: the wrapper, the generated bindings, and the native library for each processor.

plugins {
    // With Kotlin built in.
    id("com.android.library") version "9.2.1"
}

// Of the repository; build-aar.sh says where cargo builds.
val target = file(providers.gradleProperty("cargoTarget").getOrElse("../../target"))

// Nothing is built among the sources.
layout.buildDirectory = file("$target/sdk-android/build")

android {
    namespace = "com.replyhq.sdk"
    compileSdk = 36

    defaultConfig {
        // The first that has java.time, in which the bindings tell the time.
        minSdk = 26
        consumerProguardFiles("consumer-rules.pro")
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    sourceSets.named("main") {
        kotlin.directories.add("src/android/kotlin")
        kotlin.directories.add("$target/sdk-bindings/kotlin")
        jniLibs.directories.add("$target/sdk-android/jniLibs")
    }
}

dependencies {
    api("org.jetbrains.kotlinx:kotlinx-coroutines-android:1.11.0")
    implementation("net.java.dev.jna:jna:5.18.1@aar")
}

base {
    archivesName = "replyhq"
}
