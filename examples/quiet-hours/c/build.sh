#!/bin/sh
# Builds the policy: ./build.sh [OUTPUT]
set -eu
cd "$(dirname "$0")"
out=${1:-quiet-hours.wasm}
# Of the worlds in policy.wit the one that has the policy's hooks, and no other.
world=policy
core=$(mktemp)
trap 'rm -f "$core"' EXIT

for tool in clang wasm-ld; do
  command -v $tool > /dev/null || { echo "no $tool: on Debian, apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32" >&2; exit 1; }
done
echo "compile"
# A policy is asked and never started; what is not asked for is not kept.
clang --target=wasm32-wasi -Oz -Wall -Wextra -Werror -nostartfiles \
  -Wl,--no-entry -Wl,--gc-sections -Wl,--strip-all \
  ./*.c bindings/policy.c -o "$core"
echo "make the component"
"${VOLWARD_POLICY:-volward-policy}" componentize --world "$world" "$core" --out "$out"
