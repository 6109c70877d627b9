#!/usr/bin/env bash
# Runs tests of the index under a tool of nightly Rust: $1 is miri or sanitizer. Says in one line what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "make test-$1: $2" >&2
  exit 1
}

rustc +nightly --version >/dev/null 2>&1 || fail "$1" "nightly Rust is missing: rustup toolchain install nightly"
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
sources=$(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock

case $1 in
  miri)
    cargo +nightly miri --version >/dev/null 2>&1 && [[ -f $sources ]] ||
      fail miri "Miri or rust-src is missing: rustup component add --toolchain nightly miri rust-src"
    # Snapshots are read from files.
    export MIRIFLAGS="${MIRIFLAGS:-} -Zmiri-disable-isolation"
    miri=(cargo +nightly miri test --locked -p adamem-index --target-dir target/miri)
    "${miri[@]}" --lib -- vectors:: kernels:: codes::
    "${miri[@]}" --test contract -- an_empty_index a_bad_batch the_last_of_equal_ids
    "${miri[@]}" --test snapshot_compat -- files_of_every_version_open
    ;;
  sanitizer)
    sanitizer=(cargo +nightly test --locked -p adamem-index --release --target "$host" --test concurrency)
    # Overflows and `debug_assert!` are looked for as well.
    flags="-Cdebug-assertions=on -Coverflow-checks=on"
    if [[ -f $sources ]]; then
      echo "== ThreadSanitizer"
      RUSTFLAGS="-Zsanitizer=thread $flags" "${sanitizer[@]}" --target-dir target/sanitizer/thread -Zbuild-std
    else
      # The locks of a standard library that is not built for ThreadSanitizer look to it like no locks at all.
      echo "== AddressSanitizer; for ThreadSanitizer: rustup component add --toolchain nightly rust-src"
      RUSTFLAGS="-Zsanitizer=address $flags" "${sanitizer[@]}" --target-dir target/sanitizer/address
    fi
    ;;
  *)
    echo "usage: $0 miri|sanitizer" >&2
    exit 2
    ;;
esac
