#!/usr/bin/env bash
# Makes the virtual environment $1 with the newest supported Python; says in one line what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "AdaMem set-up: $1" >&2
  exit 1
}

# rustup installs under the home directory, and a fresh shell may not have it in PATH yet.
command -v cargo >/dev/null || fail "cargo is missing: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)+ with rustup (https://rustup.rs), then open a new shell."
command -v cc >/dev/null || fail "a C compiler is missing (Debian: apt install build-essential; macOS: xcode-select --install)."
python=$(.ci/find-python.sh) || fail "Python 3.11+ with venv is missing (Debian: apt install python3-venv; macOS: brew install python), or set PYTHON=/path/to/python3."

echo "== $1 with $("$python" --version)"
"$python" -m venv --clear "$1"
