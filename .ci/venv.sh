#!/usr/bin/env bash
# Makes the virtual environment $1 with the newest supported Python in PATH; says in one line what is missing.
set -euo pipefail
venv=$1

fail() {
  echo "AdaMem set-up: $1" >&2
  exit 1
}

# rustup installs under the home directory, and a fresh shell may not have it in PATH yet.
command -v cargo >/dev/null || fail "cargo is missing: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)+ (https://rustup.rs), then open a new shell."
command -v cc >/dev/null || fail "a C compiler is missing: install gcc or clang (Debian: apt install build-essential; macOS: xcode-select --install)."

# A name in PATH may be a shim that starts nothing, so each candidate is run.
usable='import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
python=
for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3; do
  if "$candidate" -c "$usable" >/dev/null 2>&1; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || fail "Python 3.11+ with venv is missing: Debian: apt install python3 python3-venv; macOS: brew install python; or set PYTHON=/path/to/python3."

echo "== $venv with $("$python" --version)"
"$python" -m venv --clear "$venv"
