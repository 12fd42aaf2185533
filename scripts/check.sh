#!/usr/bin/env bash
# Everything that must be green before a commit: format, lints, tests with doctests (those of the
# library and the challenge on io_uring and on epoll), documentation, and the library without its
# features. Needs a Rust toolchain and gcc. Ends at the first step that fails; its last line counts
# the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# A test that hangs is a failure, and says so long before anybody gives up waiting.
limit() { timeout --kill-after 10 "$@"; }

step() {
    local name=$1
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    local start=$SECONDS
    "$@" || { printf '== %s: FAILED\n' "$name" >&2; return 1; }
    printf '== %s: ok, %s s\n' "$name" $((SECONDS - start))
}

# Adds up the lines `test result: ok. 12 passed; 0 failed; ...` of all test binaries.
count_tests() {
    awk '/^test result: / { passed += $4; failed += $6; ignored += $8 }
         END { printf "%d ignored\n%d passed, %d failed\n", ignored, passed, failed }' "$log"
}

# What is off by default is checked too, the drivers inside other runtimes among it.
features=sunstar/compression,sunstar/headers,sunstar/tower,sunstar/sim,sunstar/monoio,sunstar/glommio

# The library and the challenge with everything. .ci/run takes the same line for the other drivers,
# so that nothing is built twice.
tests() {
    limit 1200 cargo test -p sunstar -p app-1mrc --features "$features" --no-fail-fast 2>&1 |
        tee "$log"
}
# A simulation and a doctest are the same on every driver.
tests_on_epoll() {
    SUNSTAR_DRIVER=epoll SUNSTAR_SEEDS=5 limit 600 cargo test -p sunstar -p app-1mrc \
        --features "$features" --tests --no-fail-fast 2>&1 | tee -a "$log"
}
# All others, on the library as they take it.
tests_of_tools() {
    limit 1200 cargo test --workspace --exclude sunstar --exclude app-1mrc --no-fail-fast 2>&1 |
        tee -a "$log"
}
docs() {
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --features "$features" --no-deps \
        --quiet
}

# The searches of scripts/fuzz.sh are a workspace of their own, with a lock that must follow ours.
fuzz_lock() {
    cargo metadata --manifest-path framework/fuzz/Cargo.toml --locked --format-version 1 >/dev/null
}

step format cargo fmt --all --check
step fuzz-lock fuzz_lock
step lints cargo clippy --workspace --all-targets --quiet -- -D warnings
step lints-features cargo clippy --workspace --features "$features" --all-targets --quiet \
    -- -D warnings
step lints-bare cargo clippy -p sunstar --lib --no-default-features --quiet -- -D warnings
step tests tests || { count_tests; exit 1; }
step tests-epoll tests_on_epoll || { count_tests; exit 1; }
step tests-tools tests_of_tools || { count_tests; exit 1; }
step docs docs
printf '\nall green after %s s\n' "$SECONDS"
count_tests
