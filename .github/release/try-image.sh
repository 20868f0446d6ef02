#!/bin/sh
# Runs an image as it is meant to run, without a network and with a read-only root: it answers, and its Node is one that
# package.json allows. Usage: try-image.sh IMAGE
set -eu
root=$(dirname "$0")/../..
answer=$(docker run --rm --read-only --network none --cap-drop ALL --security-opt no-new-privileges "$1" version --output json)
least=$(sed -n 's/^ *"node": ">=\(.*\)"$/\1/p' "$root/package.json")
node=$(printf '%s\n' "$answer" | sed -n 's/.*"node":"\([0-9.]*\)".*/\1/p')
if [ -z "$least" ] || [ -z "$node" ] || ! printf '%s\n%s\n' "$least" "$node" | sort -V -C; then
  echo "the image's Node is ${node:-unknown}, and package.json wants ${least:-a version} or later" >&2
  exit 1
fi
printf '%s\n' "$answer"
