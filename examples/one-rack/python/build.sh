#!/bin/sh
# Builds the policy: ./build.sh [OUTPUT]
set -eu
cd "$(dirname "$0")"
out=${1:-one-rack.wasm}
# Of the worlds in policy.wit the one that has the policy's hooks, and no other.
world=migration-policy
# Where the tools are kept; they are fetched when requirements.txt changes.
tools=${VOLWARD_TOOLS:-.tools}
wit=../../../wit/policy.wit

if ! cmp -s requirements.txt "$tools/requirements.txt"; then
  echo "fetch componentize-py"
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
  cp requirements.txt "$tools/"
fi
echo "bindings, for editors"
rm -rf bindings
"$tools/bin/componentize-py" --quiet -d "$wit" -w "$world" bindings bindings
echo "make the component"
# It makes the same bindings for itself.
"$tools/bin/componentize-py" --quiet -d "$wit" -w "$world" componentize --stub-wasi app -o "$out"
