#!/usr/bin/env bash
# The main job: app-1mrc on half of the CPUs, loadgen from the other half, and the verdict.
# The exit code is loadgen's: 0 if every figure is exact. Leaves nothing running; Ctrl-C ends it
# early, with loadgen's partial report.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: scripts/run-1mrc.sh [-n REQUESTS] [-c CONNECTIONS] [--payload NAME] [--port PORT]
  -n REQUESTS       default 1000000
  -c CONNECTIONS    default 500
  --payload NAME    whose requests: go (75,000 users), java (1,000,000), aiohttp, or random,
                    decimals, cancel, unicode, which try arithmetic and decoding; default go
  --port PORT       default: a free one
USAGE
}

wrong() {
    echo "run-1mrc.sh: $1 (see --help)" >&2
    exit 2
}

requests=1000000 connections=500 payload=go port=0
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        -n | -c | --payload | --port) [ $# -ge 2 ] || wrong "$1 needs a value" ;;
        *) wrong "unknown option '$1'" ;;
    esac
    case $1 in
        -n) requests=$2 ;;
        -c) connections=$2 ;;
        --payload) payload=$2 ;;
        --port) port=$2 ;;
    esac
    shift 2
done
[[ $requests =~ ^[1-9][0-9]*$ ]] || wrong "-n must be a positive integer, not '$requests'"
[[ $connections =~ ^[1-9][0-9]*$ ]] || wrong "-c must be a positive integer, not '$connections'"
[[ $payload =~ ^(go|java|aiohttp|random|decimals|cancel|unicode)$ ]] ||
    wrong "--payload must be go, java, aiohttp, random, decimals, cancel or unicode, not '$payload'"
[[ $port =~ ^(0|[1-9][0-9]*)$ ]] || wrong "--port must be a number, not '$port'"
command -v cargo >/dev/null || {
    echo 'run-1mrc.sh: cargo is not in PATH: install Rust from https://rustup.rs' >&2
    exit 1
}
cd "$(dirname "$0")/.."

# The CPUs that this process may use, one a line, hyperthreads of one core side by side.
cpus_by_core() {
    local list range cpu at
    list=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
    for range in ${list//,/ }; do
        for cpu in $(seq "${range%-*}" "${range#*-}"); do
            at=/sys/devices/system/cpu/cpu$cpu/topology
            printf '%s %s %s\n' "$(cat "$at/physical_package_id" 2>/dev/null || echo 0)" \
                "$(cat "$at/core_id" 2>/dev/null || echo "$cpu")" "$cpu"
        done
    done | sort -n -k1,1 -k2,2 -k3,3 | cut -d' ' -f3
}

mapfile -t cpus < <(cpus_by_core)
half=$(((${#cpus[@]} + 1) / 2))
join() { local IFS=,; printf '%s' "$*"; }
server_cpus=$(join "${cpus[@]:0:half}")
client_cpus=$(join "${cpus[@]:half}")
client_cpus=${client_cpus:-$server_cpus} # only one CPU: they share it

# It says what it does: the first time it takes some minutes, and another cargo may hold the lock.
cargo build --release -p app-1mrc -p loadgen
bin=${CARGO_TARGET_DIR:-target}/release

tmp=$(mktemp -d)
server='' client=''
cleanup() {
    for pid in $client $server; do
        kill -TERM "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    rm -rf "$tmp"
}

# Stops loadgen, which then writes its partial report; `cleanup` stops the server after it.
interrupted() {
    trap '' INT TERM
    if [ -n "$client" ]; then
        kill -TERM "$client" 2>/dev/null || true # not INT: that is ignored in a script's background
        wait "$client" || true
        client=''
    fi
    exit "$1"
}
trap cleanup EXIT
trap 'interrupted 130' INT
trap 'interrupted 143' TERM

# Both run in sessions of their own: Ctrl-C in the terminal reaches only this script.
mkfifo "$tmp/out"
setsid "$bin/app-1mrc" --listen "127.0.0.1:$port" --cpuset "$server_cpus" >"$tmp/out" &
server=$!
exec 3<"$tmp/out"
line=''
until [[ $line == 'listening on '* ]]; do
    read -r -t 30 line <&3 || { echo 'app-1mrc did not start' >&2; exit 1; }
done
echo "$line"
address=${line#listening on }
address=${address%%,*}
port=${address##*:}

# Fails when the server is gone.
cpu_ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$server/stat" 2>/dev/null; }

died() {
    echo 'app-1mrc died in mid-run' >&2
    [ "$verdict" != 0 ] || verdict=1
    exit "$verdict"
}

verdict=0
before=$(cpu_ticks) || died
setsid "$bin/loadgen" 1mrc "http://127.0.0.1:$port" -n "$requests" -c "$connections" \
    --payload "$payload" --cpus "$client_cpus" &
client=$!
wait "$client" || verdict=$?
client=''
after=$(cpu_ticks) || died

# Which shard counted how many events; fails when the server does not answer.
shards() (
    exec 4<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&4
    awk -F '[{}" ]' '/^app_1mrc_events_total[{]shard=/ { shard[++n] = $3; count[n] = $NF; sum += $NF }
        END { for (i = 1; i <= n; i++)
                  printf "shard %-8s%d events, %.1f %%\n", shard[i], count[i], sum ? 100 * count[i] / sum : 0 }' <&4
)

case $verdict in
    0 | 4) # the events were sent
        awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n="$requests" \
            'BEGIN { printf "server CPU    %.2f us per request\n", ticks / hz * 1e6 / n }'
        shards 2>/dev/null || died
        ;;
esac

kill -TERM "$server" 2>/dev/null || died
if ! timeout 30 cat <&3 >&2; then # what it still says; ends when the server does
    echo 'app-1mrc did not stop on SIGTERM; killed' >&2
    kill -KILL "$server"
fi
stopped=0
wait "$server" || stopped=$?
server=''
if [ "$stopped" != 0 ]; then
    echo "app-1mrc ended with $stopped instead of 0" >&2
    [ "$verdict" != 0 ] || verdict=1
fi
exit "$verdict"
