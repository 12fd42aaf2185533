#!/usr/bin/env bash
# What an event costs a server in CPU time: a bare ring that reads the same bytes, app-1mrc, and the
# same service on warp, actix-web, Go's net/http and FastAPI (benches/peers/event), interleaved.
# Builds what is missing; needs Go, wrk and Python with venv, whose packages come from PyPI into
# benches/peers/event/target. Some 40 s for each run of all six on a quiet machine.
#   scripts/peers-event.sh [OPTIONS OF measure_cpu.py]     default: --reps 5 --seconds 3
set -euo pipefail
cd "$(dirname "$0")/.."

source=benches/peers/event
built=$source/target/release
cargo build --release --quiet -p app-1mrc -p sunstar-benches --bin app-1mrc --bin bare_ring
cargo build --release --quiet --manifest-path "$source/Cargo.toml" --target-dir "$source/target"
go build -o "$built/net_http_event" "$source/main.go"
if [ ! -x "$source/target/venv/bin/uvicorn" ]; then
    python3 -m venv "$source/target/venv"
    "$source/target/venv/bin/pip" install --quiet -r "$source/requirements.txt"
fi

ours=${CARGO_TARGET_DIR:-target}/release
[ $# -gt 0 ] || set -- --reps 5 --seconds 3
exec scripts/measure_cpu.py --event "$@" \
    "$ours/bare_ring {port} --post" \
    "$ours/app-1mrc --listen 127.0.0.1:{port} --smp 1 --cpuset 0" \
    "$built/warp_event {port}" \
    "$built/actix_event {port}" \
    "$built/net_http_event {port}" \
    "$source/target/venv/bin/uvicorn --app-dir $source --log-level warning --no-access-log \
--port {port} fastapi_event:app"
