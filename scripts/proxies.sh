#!/usr/bin/env bash
# The wire example behind nginx and haproxy, which share one connection to it among their clients:
# requests made to disagree about, byte for byte to the proxy, and behind each an innocent client
# that must get the answer to its own request. Needs nginx-light and haproxy (Debian's packages)
# and Python.
#
#   scripts/proxies.sh [--cases FILE]    FILE: JSON with more requests, each in `request_b64`
set -euo pipefail
cd "$(dirname "$0")/.."

PATH=$PATH:/usr/sbin
for tool in nginx haproxy; do
    command -v $tool >/dev/null || { echo "no $tool: apt-get install $tool" >&2; exit 1; }
done
cargo build --release --quiet -p sunstar --example wire
for driver in uring epoll; do
    python3 scripts/proxies.py "$@" \
        "${CARGO_TARGET_DIR:-target}/release/examples/wire --driver $driver"
done
