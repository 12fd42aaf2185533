#!/usr/bin/env bash
# What it costs a run of the challenge to be asked for /stats a thousand times a second: runs with
# and without, interleaved; rate, p99 and the server's CPU side by side. Server and generator are
# on all CPUs together, as in run-1mrc.sh; `--apart` gives each one half of them.
#   scripts/stats-load.sh [ROUNDS] [--apart]     default: 3 rounds of 20 pairs, some 2.5 minutes
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=3 how=together
while [ $# -gt 0 ]; do
    case $1 in
        --apart) how=apart ;;
        [1-9]*) rounds=$1 ;;
        *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
    shift
done
cargo build --release --quiet -p app-1mrc -p loadgen
exec python3 scripts/stats_load.py "${CARGO_TARGET_DIR:-target}/release" "$rounds" "$how"
