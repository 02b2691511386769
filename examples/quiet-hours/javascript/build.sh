#!/bin/sh
# Builds the policy: ./build.sh [OUTPUT]
set -eu
cd "$(dirname "$0")"
out=${1:-quiet-hours.wasm}
# Where the tools are kept; they are fetched when package-lock.json changes.
tools=${VOLWARD_TOOLS:-.tools}
wit=../../../wit/policy.wit

if ! cmp -s package-lock.json "$tools/fetched.json"; then
  echo "fetch componentize-js, jco and TypeScript"
  mkdir -p "$tools"
  cp package.json package-lock.json "$tools/"
  npm ci --prefix "$tools" --silent --no-audit --no-fund
  cp package-lock.json "$tools/fetched.json"
fi
echo "types"
node types.mjs "$tools" "$wit"
"$tools/node_modules/.bin/tsc" --project tsconfig.json
echo "make the component"
node componentize.mjs "$tools" "$wit" "$out"
