#!/usr/bin/env bash
# Runs what holds `unsafe` under Miri, with strict provenance: buffers and pools, operations,
# timers and tasks, and small simulated servers, which reach them as a real one does. Needs
# `rustup toolchain install nightly --component miri`, and some minutes.
#
#   scripts/miri.sh [COUNT]    so many simulated servers; 6 if not said
set -euo pipefail
cd "$(dirname "$0")/.."

cargo +nightly miri --version >/dev/null 2>&1 ||
    { echo 'no Miri: rustup toolchain install nightly --component miri' >&2; exit 1; }
# Miri takes half a second for an event: the servers are the first whose run has few of them.
count=${1:-6} events_max=80
export SUNSTAR_CLIENTS_MAX=2
sunstar=(-p sunstar --no-default-features --features sim,json)
simulated=("${sunstar[@]}" --test simulation every_client -- --nocapture)
miri() { CARGO_TARGET_DIR=target/miri timeout --kill-after 10 300 cargo +nightly miri test --quiet "$@"; }

# Printing a backtrace takes Miri seven seconds, and tests that panic on purpose would print hundreds.
export MIRIFLAGS='-Zmiri-strict-provenance -Zmiri-disable-isolation -Zmiri-env-set=RUST_BACKTRACE=0'
miri "${sunstar[@]}" --lib -- mem:: runtime::op runtime::timer runtime::states \
    runtime::mesh sys::scope sys::lend sys::thin sys::typed sys::parcel sys::spsc sim::
printf 'buffers, operations, timers, tasks: clean, %s s\n' $SECONDS

for ((seed = 0, clean = 0; clean < count; seed++)); do
    export SUNSTAR_SEED=$seed
    events=$(cargo test --quiet "${simulated[@]}" | grep -oE '[0-9]+ events')
    [ "${events% *}" -le $events_max ] || continue
    miri "${simulated[@]}" >target/miri/log 2>&1 || { cat target/miri/log >&2; exit 1; }
    clean=$((clean + 1))
    printf 'simulated server %s, %s: clean, %s s\n' $seed "$events" $SECONDS
done
printf 'Miri is clean: %s simulated servers, %s s in all\n' "$clean" $SECONDS
