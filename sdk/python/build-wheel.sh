#!/usr/bin/env bash
# sdk/python/build-wheel.sh [LIBRARY]: the SDK as a wheel for this machine, in target/sdk-python. With a native library that
# was built before, the bindings are taken as they are, too.
#
# Needs a C compiler, and Python with venv and pip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

library=${1:-}
if [[ -z $library ]]; then
    cargo xtask sdk-bindings
    library=$(sdk/build-library.sh cdylib)
fi
target=${CARGO_TARGET_DIR:-target}
folder=$target/sdk-python
rm -rf "$folder"
mkdir -p "$folder/package"
cp -r sdk/python/pyproject.toml sdk/python/src "$folder/package/"
cp "$target/sdk-bindings/python/replyhq_sdk.py" "$library" "$folder/package/src/replyhq/"

python3 -m venv "$folder/venv"
python=$folder/venv/bin/python
"$python" -m pip install --quiet wheel
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$folder" "$folder/package"
# To setuptools it is Python only; the library in it is of this machine's kind, and of no version of Python's.
platform=$("$python" -c 'import sysconfig; print(sysconfig.get_platform().replace("-", "_").replace(".", "_"))')
"$python" -m wheel tags --remove --platform-tag "$platform" "$folder"/replyhq-*.whl
