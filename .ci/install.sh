#!/usr/bin/env bash
# Installs AdaMem for running it: install.sh PYTHON VENV WHEELS LOCK. Used by the Dockerfile and by `make check-wheels`.
set -euo pipefail
python=$1 venv=$2 wheels=$3 lock=$4

"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r "$lock"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-index "$wheels"/*.whl
