#!/usr/bin/env bash
# sdk/build-library.sh KIND [TARGET]: builds the SDK's native library, as small as it gets, and prints its path.
#
# KIND is cdylib or staticlib, TARGET one of `rustc --print target-list`; without it, the machine's own. What else a
# target needs (a linker, a C compiler) is in the environment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

kind=$1
target=${2:-}

# What the SDK's file does not use of SQLite: full text search, spatial indexes, JSON, loadable extensions.
sqlite=(
    -DSQLITE_DEFAULT_MEMSTATUS=0
    -DSQLITE_OMIT_AUTHORIZATION
    -DSQLITE_OMIT_AUTOVACUUM
    -DSQLITE_OMIT_BETWEEN_OPTIMIZATION
    -DSQLITE_OMIT_COMPILEOPTION_DIAGS
    -DSQLITE_OMIT_COMPLETE
    -DSQLITE_OMIT_DATETIME_FUNCS
    -DSQLITE_OMIT_DEPRECATED
    -DSQLITE_OMIT_DESERIALIZE
    -DSQLITE_OMIT_GET_TABLE
    -DSQLITE_OMIT_INCRBLOB
    -DSQLITE_OMIT_INTEGRITY_CHECK
    -DSQLITE_OMIT_INTROSPECTION_PRAGMAS
    -DSQLITE_OMIT_JSON
    -DSQLITE_OMIT_LIKE_OPTIMIZATION
    -DSQLITE_OMIT_LOAD_EXTENSION
    -DSQLITE_OMIT_LOCALTIME
    -DSQLITE_OMIT_PROGRESS_CALLBACK
    -DSQLITE_OMIT_SCHEMA_PRAGMAS
    -DSQLITE_OMIT_SHARED_CACHE
    -DSQLITE_OMIT_TCL_VARIABLE
    -DSQLITE_OMIT_TRACE
    -DSQLITE_OMIT_UTF16
    -DSQLITE_OMIT_XFER_OPT
    -DSQLITE_UNTESTABLE
    -USQLITE_ENABLE_API_ARMOR
    -USQLITE_ENABLE_COLUMN_METADATA
    -USQLITE_ENABLE_DBSTAT_VTAB
    -USQLITE_ENABLE_FTS3
    -USQLITE_ENABLE_FTS3_PARENTHESIS
    -USQLITE_ENABLE_FTS5
    -USQLITE_ENABLE_LOAD_EXTENSION
    -USQLITE_ENABLE_RTREE
    -USQLITE_ENABLE_STAT4
    -USQLITE_SOUNDEX
)
export LIBSQLITE3_FLAGS="${sqlite[*]}"
# No exception passes through C code, so it needs no tables for that.
export CFLAGS="${CFLAGS:-} -fno-unwind-tables -fno-asynchronous-unwind-tables"

arguments=(--locked --profile sdk -p sdk-ffi --lib --crate-type "$kind")
if [[ -n $target ]]; then
    arguments+=(--target "$target")
fi
if [[ $kind == cdylib ]]; then
    # Addresses that the loader is to adjust, in a form that is a tenth as large: 100 kB less. Android's loader has
    # known its own form since version 6; glibc this one since 2.36.
    case ${target:-$(rustc -vV | sed -n 's/^host: //p')} in
        # And pages of 16 KiB, which newer devices have.
        *-android*) arguments+=(-- -C 'link-arg=-Wl,--pack-dyn-relocs=android,-z,max-page-size=16384') ;;
        *-linux-gnu*) arguments+=(-- -C 'link-arg=-Wl,-z,pack-relative-relocs') ;;
    esac
fi
cargo rustc "${arguments[@]}" >&2

folder=${CARGO_TARGET_DIR:-target}/${target:+$target/}sdk
case $kind-${target:-$OSTYPE} in
    staticlib-*) echo "$folder/libreplyhq_sdk.a" ;;
    *darwin* | *apple*) echo "$folder/libreplyhq_sdk.dylib" ;;
    *) echo "$folder/libreplyhq_sdk.so" ;;
esac
