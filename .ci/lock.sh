#!/usr/bin/env bash
# Writes the lock files from pyproject.toml. --upgrade takes the newest versions; --check only compares.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-}
target=.
if [ "$mode" = --check ]; then
  target=$(mktemp -d)
  trap 'rm -rf "$target"' EXIT
  cp requirements.lock requirements-dev.lock requirements-integrations.lock requirements-bench.lock requirements-docs.lock "$target"
fi

compile() {
  local file=$1
  shift
  # The output file holds the pins to keep, unless an upgrade is asked for.
  .venv/bin/uv pip compile pyproject.toml "$@" --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-package adamem-client --custom-compile-command "make lock" \
    --output-file "$target/$file"
}

upgrade=()
if [ "$mode" = --upgrade ]; then upgrade=(--upgrade); fi
compile requirements.lock "${upgrade[@]}"
compile requirements-dev.lock "${upgrade[@]}" --group dev --constraint "$target/requirements.lock"
compile requirements-integrations.lock "${upgrade[@]}" --group integrations --constraint "$target/requirements-dev.lock"
compile requirements-docs.lock "${upgrade[@]}" --group docs --constraint "$target/requirements-dev.lock"
compile requirements-bench.lock "${upgrade[@]}" --group bench --constraint "$target/requirements-dev.lock"

if [ "$mode" = --check ]; then
  for file in requirements.lock requirements-dev.lock requirements-integrations.lock requirements-bench.lock requirements-docs.lock; do
    # Paths of the inputs appear in comments only.
    if ! diff <(grep -v '^ *#' "$file") <(grep -v '^ *#' "$target/$file"); then
      echo "$file does not match pyproject.toml: run .ci/lock.sh" >&2
      exit 1
    fi
  done
fi
