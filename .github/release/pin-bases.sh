#!/bin/sh
# Prints the Dockerfile's bases as build arguments, each with a digest: the one that the environment gives
# (BUILD_BASE=node:24-trixie-slim@sha256:…), or what the registry has for the Dockerfile's tag now.
set -eu
dockerfile=$(dirname "$0")/../../Dockerfile
for name in BUILD_BASE RUN_BASE; do
  eval "base=\${$name:-}"
  [ -n "$base" ] || base=$(sed -n "s/^ARG $name=//p" "$dockerfile")
  case $base in
    *@sha256:*) ;;
    *) base=$base@$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$base" || true) ;;
  esac
  if ! printf '%s\n' "$base" | grep -Eq '^[^ @]+@sha256:[0-9a-f]{64}$'; then
    echo "no digest for ${base%%@*}: is its registry reachable, and docker buildx there? Or give it: $name=${base%%@*}@sha256:…" >&2
    exit 3
  fi
  printf -- '--build-arg %s=%s\n' "$name" "$base"
done
