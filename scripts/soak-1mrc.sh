#!/usr/bin/env bash
# Many runs of the challenge against fresh servers: a random payload, 1 to 1000 connections, one or
# two shards, one of the drivers. Each must be exact, and the figures that the server prints when it
# stops must be those of the run. Leaves nothing running; ends with 0 if all runs were exact.
#   scripts/soak-1mrc.sh [RUNS] [-n REQUESTS] [--seed SEED] [--drivers "NAME ..."] [--log FILE]
# Default: 100 runs of 1000000 on "uring epoll". With --log, runs that stand in FILE already are
# counted and not run again, under its seed and settings: so a soak may be cut off and gone on with.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=100 requests=1000000 seed=$RANDOM drivers=(uring epoll) log=/dev/null
while [ $# -gt 0 ]; do
    case $1 in
        -n) requests=$2; shift ;;
        --seed) seed=$2; shift ;;
        --drivers) read -r -a drivers <<<"$2"; shift ;;
        --log) log=$2; shift ;;
        [1-9]*) runs=$1 ;;
        *) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
    shift
done
if [ -s "$log" ]; then
    read -r head <"$log"
    [[ $head =~ ^seed\ ([0-9]+),\ ([0-9]+)\ requests,\ drivers\ ([^,]+),\ payloads ]] || {
        echo "soak-1mrc.sh: $log is no log of a soak: name another file" >&2
        exit 2
    }
    seed=${BASH_REMATCH[1]} requests=${BASH_REMATCH[2]}
    read -r -a drivers <<<"${BASH_REMATCH[3]}"
fi

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

# What loadgen says that it can.
choices() { "$@" 2>&1 | grep -oE 'possible values: [^]]*' | sed 's/possible values: //; s/,/ /g'; }
read -r -a payloads <<<"$(choices "$bin/loadgen" 1mrc http://localhost --payload '?' || true)"
say() { echo "$1" | tee -a "$log"; }
[ -s "$log" ] ||
    say "seed $seed, $requests requests, drivers ${drivers[*]}, payloads ${payloads[*]}"
RANDOM=$seed

exact=0 failed=0
for run in $(seq "$runs"); do
    connections=$((RANDOM % 1000 + 1)) shards=$((RANDOM % 2 + 1))
    payload=${payloads[RANDOM % ${#payloads[@]}]} driver=${drivers[RANDOM % ${#drivers[@]}]}
    what="run $run: $payload, $connections connections, $shards shards, driver $driver"
    ended=$(grep -m 1 "^run $run: .*exact" "$log" || true)
    if [ -n "$ended" ]; then
        [[ $ended == "$what: exact"* ]] && exact=$((exact + 1)) || failed=$((failed + 1))
        continue
    fi
    "$bin/app-1mrc" --listen 127.0.0.1:0 --smp "$shards" --driver "$driver" >"$tmp/out" &
    server=$!
    exec 3<"$tmp/out"
    read -r -t 30 line <&3 || { echo "$what: the server did not start" >&2; exit 1; }
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
        say "$what: $(grep -m 1 '^exact' "$tmp/log")"
    else
        failed=$((failed + 1))
        say "$what: NOT exact: loadgen $verdict, server $ended, '$farewell'"
        tee -a "$log" <"$tmp/log"
    fi
done
echo "$exact of $runs runs exact, $failed not"
[ "$failed" = 0 ]
