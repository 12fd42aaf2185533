#!/usr/bin/env bash
# Runs what holds `unsafe` under Miri, with strict provenance: buffers and pools, operations,
# timers and tasks, and a few simulated servers, which reach them as a real one does. Needs
# `rustup toolchain install nightly --component miri`.
#
#   scripts/miri.sh [SEEDS]    so many simulated servers; 2 if not said
set -euo pipefail
cd "$(dirname "$0")/.."

cargo +nightly miri --version >/dev/null 2>&1 ||
    { echo 'no Miri: rustup toolchain install nightly --component miri' >&2; exit 1; }
export MIRIFLAGS='-Zmiri-strict-provenance -Zmiri-disable-isolation'
export CARGO_TARGET_DIR=target/miri
miri=(cargo +nightly miri test --quiet -p sunstar --no-default-features --features sim,json)
"${miri[@]}" --lib -- mem:: runtime::op runtime::timer runtime::executor sim::
# The executor polls futures that refer to themselves through shared references to their task,
# which the older of Miri's two models of aliasing refuses.
MIRIFLAGS="$MIRIFLAGS -Zmiri-tree-borrows"
SUNSTAR_SEEDS=${1:-2} "${miri[@]}" --test simulation every_client
