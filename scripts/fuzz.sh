#!/usr/bin/env bash
# Searches for bytes that a target of framework/fuzz cannot stand, from its corpus on:
#
#     scripts/fuzz.sh [TARGET|h1|all] [SECONDS [libFuzzer's options...]]
#
# All targets, two at a time, for 60 seconds each, if nothing is said; `h1` is those without the
# simulated server. What it finds is put into framework/fuzz/artifacts. Needs a stable toolchain and
# a C++ compiler. SUNSTAR_FUZZ_ASAN=1 searches with AddressSanitizer, at about half the speed.
# SUNSTAR_FUZZ_MINIMIZE=1 does not search: it makes a small corpus of what searches have kept.
set -euo pipefail
cd "$(dirname "$0")/../framework/fuzz"

targets=${1:-all}
seconds=${2:-60}
shift $(($# < 2 ? $# : 2))
h1='h1_chunked h1_connection h1_head h1_httparse'
case $targets in
    h1) targets=$h1 ;;
    all) targets="$h1 connection" ;;
esac

# What `cargo fuzz` sets, of which a stable compiler knows all but the sanitizer.
triple=$(rustc -vV | sed -n 's/^host: //p')
flags='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing'
target_dir=target
if [ "${SUNSTAR_FUZZ_ASAN:-}" = 1 ]; then
    flags="$flags -Zsanitizer=address"
    target_dir=target/asan
    export RUSTC_BOOTSTRAP=1
fi

build() {
    # With a target triple the flags are kept from build scripts.
    RUSTFLAGS="$(echo $flags)" CARGO_TARGET_DIR=$target_dir \
        cargo build --quiet --release --locked --target "$triple" --bins
}

search() {
    local target=$1 kept=$target_dir/kept/$1
    mkdir -p "$kept" "corpus/$target" artifacts
    # What is new is kept beside the corpus, which holds only what somebody has looked at.
    nice "$target_dir/$triple/release/$target" "$kept" "corpus/$target" \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=2048 \
        -artifact_prefix="artifacts/$target-" -print_final_stats=1 "${@:2}" \
        >"$target_dir/$target.log" 2>&1 && result=0 || result=$?
    report "$target" "$result"
}

report() {
    local log=$target_dir/$1.log
    local runs
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    if [ "$2" = 0 ]; then
        printf '%s: %s executions in %s s, clean\n' "$1" "${runs:-0}" "$seconds"
    else
        tail -n 30 "$log" >&2
        printf '%s: FAILED. Move the input from framework/fuzz/artifacts to' "$1" >&2
        printf ' framework/fuzz/corpus/%s, and `cargo test --test fuzz` plays it\n' "$1" >&2
    fi
    return "$2"
}

minimize() {
    local target=$1
    local small=$target_dir/small/$target
    rm -rf "$small" && mkdir -p "$small" "$target_dir/kept/$target"
    "$target_dir/$triple/release/$target" -set_cover_merge=1 -max_len=512 "$small" \
        "corpus/$target" "$target_dir/kept/$target" >"$target_dir/$target.log" 2>&1
    rm -rf "corpus/$target" && mv "$small" "corpus/$target"
    printf '%s: %s inputs\n' "$target" "$(ls "corpus/$target" | wc -l)"
}

build
job=search
[ "${SUNSTAR_FUZZ_MINIMIZE:-}" = 1 ] && job=minimize
failed=0
for target in $targets; do
    [ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n || failed=1
    $job "$target" "$@" &
done
while [ -n "$(jobs -p)" ]; do wait -n || failed=1; done
exit $failed
