#!/usr/bin/env bash
# What it costs a run of the challenge to be asked for /stats a thousand times a second: runs with
# and without, interleaved, the server on one half of the CPUs; rate, p99 and the server's CPU side
# by side.
#   scripts/stats-load.sh [PAIRS] [-n REQUESTS]     default: 5 pairs of 1000000
set -euo pipefail
cd "$(dirname "$0")/.."

pairs=5 requests=1000000
while [ $# -gt 0 ]; do
    case $1 in
        -n) requests=$2; shift ;;
        [1-9]*) pairs=$1 ;;
        *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
    shift
done
cargo build --release --quiet -p app-1mrc -p loadgen
exec python3 scripts/stats_load.py "${CARGO_TARGET_DIR:-target}/release" "$pairs" "$requests"
