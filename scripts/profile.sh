#!/usr/bin/env bash
# Where the time of a suite goes: flame graphs of server and generator, kernel included, into
# target/profile/, and the symbols with most of it. Needs Linux, two CPUs, cargo, Python 3.11, and
# perf with the right to look at the kernel (root, or kernel.perf_event_paranoid at most 0). Builds
# inferno from crates.io at the first use.
#   scripts/profile.sh plaintext|json|event|churn|latency [--depth 16] [--peer NAME] [--seconds N]
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHONPATH=scripts exec python3 -m compare.profile "$@"
