#!/bin/sh
# Builds the policy: ./build.sh [OUTPUT]
set -eu
cd "$(dirname "$0")"
out=${1:-quiet-hours.wasm}
target=wasm32-unknown-unknown
core=${CARGO_TARGET_DIR:-target}/$target/release/$(echo quiet-hours | tr - _).wasm

if ls "$(rustc --print target-libdir --target $target)"/libstd-* > /dev/null 2>&1; then
  cargo build --release --lib --target $target
elif [ -d "$(/usr/bin/rustc --print sysroot 2> /dev/null)/lib/rustlib/src/rust/library/std" ]; then
  echo "std is built from Debian's sources"
  RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld \
    cargo build --release --lib --target $target -Zbuild-std=std,panic_abort
else
  echo "no std for $target: run \`rustup target add $target\`, or on Debian \`apt-get install rustc-web rust-web-src lld\`" >&2
  exit 1
fi
echo "make the component"
"${VOLWARD_POLICY:-volward-policy}" componentize "$core" --out "$out"
