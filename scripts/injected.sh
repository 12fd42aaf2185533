#!/usr/bin/env bash
# The main job with an io_uring that is forbidden, missing or out of memory (rows C20 of the fault
# matrix), and with one whose every hundredth enter fails (C21): no event may be lost. Needs strace
# and release builds of app-1mrc and loadgen.
#
#   scripts/injected.sh [EVENTS]    20,000 if not said
set -euo pipefail
cd "$(dirname "$0")/.."

events=${1:-20000}
bin=${CARGO_TARGET_DIR:-target}/release
command -v strace >/dev/null || { echo 'no strace: apt-get install strace' >&2; exit 1; }
[ -x "$bin/app-1mrc" ] && [ -x "$bin/loadgen" ] ||
    cargo build --release --quiet -p app-1mrc -p loadgen

logs=$(mktemp -d)
server=
cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$logs"
}
trap cleanup EXIT

# Runs the job while `call` fails with `error`, and expects the server on `driver`.
run() {
    local call=$1 error=$2 driver=$3 log=$logs/$1-$2
    : >"$log"
    # -D: the server is this shell's child, and strace its grandchild.
    strace -D -f -qq --seccomp-bpf -o /dev/null -e "trace=$call" -e "inject=$call:error=$error" \
        "$bin/app-1mrc" --listen 127.0.0.1:0 --smp 2 >"$log" 2>&1 &
    server=$!
    until grep -q 'listening on' "$log"; do
        kill -0 "$server" || { cat "$log" >&2; exit 1; }
        sleep 0.05
    done
    grep -q "driver $driver" "$log" || { cat "$log" >&2; exit 1; }
    local port
    port=$(grep -oE 'listening on [^,]*:[0-9]+' "$log" | grep -oE '[0-9]+$')
    SUNSTAR_DRIVER=auto "$bin/loadgen" 1mrc -n "$events" "http://127.0.0.1:$port" >"$log.run" ||
        { cat "$log.run" >&2; exit 1; }
    kill -TERM "$server"
    wait "$server" || { echo "$call $error: the server ended with $?" >&2; exit 1; }
    server=
    printf '%s %s: %s events exact on %s\n' "$call" "$error" "$events" "$driver"
}

# A driver that these builds do not have is named, with what would give it.
! refused=$("$bin/app-1mrc" --listen 127.0.0.1:0 --driver glommio 2>&1) &&
    grep -q 'build with `--features glommio`' <<<"$refused" || { echo "$refused" >&2; exit 1; }

for error in EPERM ENOSYS ENOMEM; do
    run io_uring_setup "$error" epoll
done
for error in EINTR EBUSY EAGAIN; do
    run io_uring_enter "$error:when=1+100" uring
done
