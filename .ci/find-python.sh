#!/usr/bin/env bash
# Prints the newest supported Python in PATH, or $PYTHON; fails silently when there is none.
set -euo pipefail
# A name in PATH may be a shim that starts nothing, so each candidate is run.
usable='import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3; do
  if "$candidate" -c "$usable" >/dev/null 2>&1; then
    echo "$candidate"
    exit
  fi
done
exit 1
