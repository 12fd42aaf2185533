#!/usr/bin/env bash
# Many runs of the challenge against fresh servers: a random payload, 1 to 1000 connections, one or
# two shards, every driver that the program knows. Each must be exact, and the figures that the
# server prints when it stops must be those of the run. Leaves nothing running.
#   scripts/soak-1mrc.sh [RUNS] [-n REQUESTS] [--seed SEED]     default: 100 runs of 1000000
set -euo pipefail
cd "$(dirname "$0")/.."

runs=100 requests=1000000 seed=$RANDOM
while [ $# -gt 0 ]; do
    case $1 in
        -n) requests=$2; shift ;;
        --seed) seed=$2; shift ;;
        [1-9]*) runs=$1 ;;
        *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
    shift
done

cargo build --release --quiet -p app-1mrc -p loadgen
bin=${CARGO_TARGET_DIR:-target}/release
tmp=$(mktemp -d)
server=''
cleanup() {
    [ -z "$server" ] || { kill -KILL "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
    rm -rf "$tmp"
}
trap cleanup EXIT
mkfifo "$tmp/out"

# What both programs say they can.
choices() { "$@" 2>&1 | grep -oE 'possible values: [^]]*' | sed 's/possible values: //; s/,/ /g'; }
read -r -a payloads <<<"$(choices "$bin/loadgen" 1mrc http://localhost --payload '?' || true)"
read -r -a drivers <<<"$(choices "$bin/app-1mrc" --driver '?' || true)"
echo "seed $seed, payloads ${payloads[*]}, drivers ${drivers[*]}"
RANDOM=$seed

exact=0 failed=0
for run in $(seq "$runs"); do
    connections=$((RANDOM % 1000 + 1)) shards=$((RANDOM % 2 + 1))
    payload=${payloads[RANDOM % ${#payloads[@]}]} driver=${drivers[RANDOM % ${#drivers[@]}]}
    what="run $run: $payload, $connections connections, $shards shards, driver $driver"
    "$bin/app-1mrc" --listen 127.0.0.1:0 --smp "$shards" --driver "$driver" >"$tmp/out" &
    server=$!
    exec 3<"$tmp/out"
    read -r -t 30 line <&3
    address=${line#listening on }
    address=${address%%,*}
    verdict=0
    "$bin/loadgen" 1mrc "http://$address" -n "$requests" -c "$connections" --payload "$payload" \
        >"$tmp/log" 2>&1 || verdict=$?
    kill -TERM "$server"
    ended=0
    wait "$server" || ended=$?
    server=''
    farewell=$(timeout 5 cat <&3 || true)
    counted=${farewell#*'"totalRequests":'}
    if [ "$verdict" = 0 ] && [ "$ended" = 0 ] && [ "${counted%%,*}" = "$requests" ]; then
        exact=$((exact + 1))
        echo "$what: $(grep -m 1 '^exact' "$tmp/log")"
    else
        failed=$((failed + 1))
        echo "$what: NOT exact: loadgen $verdict, server $ended, '$farewell'"
        cat "$tmp/log"
    fi
done
echo "$exact of $runs runs exact, $failed not"
[ "$failed" = 0 ]
