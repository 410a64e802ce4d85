#!/usr/bin/env bash
# sdk/kotlin/build-aar.sh: the SDK as an Android library, target/sdk-android/replyhq.aar.
#
# Needs Rust with Android's targets, an NDK (r28 or newer) in ANDROID_NDK_HOME, an Android SDK in ANDROID_HOME, and
# Gradle 9.1 or newer. Says what of it is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Rust's name of each target, and Android's.
targets=(aarch64-linux-android:arm64-v8a armv7-linux-androideabi:armeabi-v7a x86_64-linux-android:x86_64)
# As minSdk in build.gradle.kts.
api=26

missing=()
installed=$(rustup target list --installed 2>/dev/null || true)
for pair in "${targets[@]}"; do
    rust=${pair%:*}
    grep -qx "$rust" <<<"$installed" || missing+=("the Rust target $rust: rustup target add $rust")
done
tools=
if [[ -z ${ANDROID_NDK_HOME:-} ]]; then
    missing+=("an NDK: sdkmanager 'ndk;28.2.13676358', and its folder in ANDROID_NDK_HOME")
else
    for tools in "$ANDROID_NDK_HOME"/toolchains/llvm/prebuilt/*/bin; do break; done
    [[ -x $tools/llvm-ar ]] || missing+=("an NDK that has its tools: there is no $tools/llvm-ar")
fi
[[ -n ${ANDROID_HOME:-} ]] || missing+=("an Android SDK, and its folder in ANDROID_HOME")
command -v gradle >/dev/null || missing+=("gradle, 9.1 or newer, on PATH")
if ((${#missing[@]})); then
    printf 'missing: %s\n' "${missing[@]}" >&2
    exit 1
fi

cargo xtask sdk-bindings
folder=${CARGO_TARGET_DIR:-target}/sdk-android
rm -rf "$folder"
for pair in "${targets[@]}"; do
    rust=${pair%:*}
    libraries=$folder/jniLibs/${pair#*:}
    # The NDK's compiler for 32-bit ARM has another name than Rust's target.
    clang=$tools/${rust/armv7-linux/armv7a-linux}$api-clang
    variable=${rust//-/_}
    linker=CARGO_TARGET_$(tr '[:lower:]' '[:upper:]' <<<"$variable")_LINKER
    library=$(
        export "CC_$variable=$clang" "AR_$variable=$tools/llvm-ar" "$linker=$clang"
        sdk/build-library.sh cdylib "$rust"
    )
    mkdir -p "$libraries"
    cp "$library" "$libraries/"
done

gradle --project-dir sdk/kotlin --project-cache-dir "$folder/gradle" -PcargoTarget="$(realpath "$folder/..")" \
    assembleRelease
cp "$folder/build/outputs/aar/replyhq-release.aar" "$folder/replyhq.aar"
echo "$folder/replyhq.aar"
