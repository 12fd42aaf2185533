#!/usr/bin/env bash
# The same service on sunstar, on the frameworks that one would take instead, and the limits: built,
# checked, measured interleaved on one core, with loadgen and with wrk. Writes
# benches/results/DATE.json (DATE-2.json if that is there) and prints the tables; --readme puts them
# into README.md. `--help` tells the rest. Needs Linux, two CPUs, cargo, Python 3.11, wrk; for all
# peers also Go, g++, nginx and h2o (a peer without its tool is named and left out).
#   scripts/compare.sh [--suite plaintext|json|event|churn|idle|latency] [--peers a,b,c] [--reps N]
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHONPATH=scripts exec python3 -m compare "$@"
