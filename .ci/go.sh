#!/usr/bin/env bash
# The Go client's part of make: go.sh check | fix | test [ARGS] | contract | bench [ARGS]. Go is not needed for anything
# else, so where there is none of the version that go.mod asks for, this says so and succeeds.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
cd "$root/clients/go"

# In the module's folder `go version` fails where it is older than go.mod asks for.
if ! command -v go >/dev/null || ! go version >/dev/null 2>&1; then
  echo "skipped: no Go of the version in clients/go/go.mod here"
  exit 0
fi

case "$1" in
  check)
    unformatted="$(gofmt -l .)"
    if [[ -n "$unformatted" ]]; then
      printf 'not formatted, run "make fix":\n%s\n' "$unformatted" >&2
      exit 1
    fi
    go mod tidy -diff
    go vet ./...
    go tool staticcheck ./...
    ;;
  fix)
    gofmt -w .
    ;;
  test)
    ADAMEM_TEST_PYTHON="$root/.venv/bin/python" go test -race -count=1 "${@:2}" ./...
    ;;
  contract)
    # Without a package it prints what passed.
    ADAMEM_TEST_PYTHON="$root/.venv/bin/python" go test -count=1 -run '^TestContract$'
    ;;
  bench)
    ADAMEM_TEST_PYTHON="$root/.venv/bin/python" go run ./internal/bench "${@:2}"
    ;;
  *)
    echo "unknown command: $1" >&2
    exit 2
    ;;
esac
