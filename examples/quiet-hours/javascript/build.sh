#!/bin/sh
# Builds the policy: ./build.sh [OUTPUT]
set -eu
cd "$(dirname "$0")"
out=${1:-quiet-hours.wasm}
# Where the tools are kept; they are fetched when package-lock.json changes.
tools=${VOLWARD_TOOLS:-.tools}
wit=../../../wit/policy.wit

# Debian 12's own is 18, for which some of these packages are not made.
if ! node --eval 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; then
  echo "Node.js 20 or later is needed to build policies in JavaScript; this is $(node --version)" >&2
  exit 1
fi
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
