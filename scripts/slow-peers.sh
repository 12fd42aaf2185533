#!/usr/bin/env bash
# Slow peers by the thousand against the wire example: slowhttptest with slow heads, slow content,
# slow reading and long ranges, and a canary that makes requests meanwhile. Fails unless each of
# them is closed within its limit and a second, the canary sees no error, and none costs more than
# 4 KiB of the server's memory. Needs slowhttptest (Debian's package) and Python; takes two
# minutes for each driver.
#
#   scripts/slow-peers.sh [CONNECTIONS [DRIVER]]     4,000 on io_uring and then on epoll if not said
set -euo pipefail
cd "$(dirname "$0")/.."

connections=${1:-4000}
command -v slowhttptest >/dev/null ||
    { echo 'no slowhttptest: apt-get install slowhttptest' >&2; exit 1; }
cargo build --release --quiet -p sunstar --example wire
for driver in ${2:-uring epoll}; do
    python3 scripts/slow_peers.py --connections "$connections" \
        "${CARGO_TARGET_DIR:-target}/release/examples/wire --driver $driver"
done
