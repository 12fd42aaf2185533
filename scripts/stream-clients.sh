#!/usr/bin/env bash
# Clients written by others stream much content up and down, with its length and in chunks: what
# comes back must be what was sent, and the server may have at most 32 MiB resident over idle.
#
#   scripts/stream-clients.sh [MIB [DRIVER]]     100 MiB on io_uring and then on epoll if not said
#
# curl, Go's net/http, aiohttp and undici send to the example `wire`, which sends back what comes as
# it comes. Java's HttpClient and Chromium read no answer before they have sent all; they fetch from
# the example `bulk`, and send that back, which it compares. curl, Go and aiohttp must be installed;
# the others are left out where they are not, and said to be. Leaves nothing running.
set -euo pipefail
cd "$(dirname "$0")/.."

mib=${1:-100}
cargo build --release --quiet -p sunstar --example wire --example bulk
tmp=$(mktemp -d)
servers=()
stop() {
    [ ${#servers[@]} = 0 ] && return
    { kill -TERM "${servers[@]}" && wait "${servers[@]}"; } 2>/dev/null || true
    servers=()
}
trap 'stop; rm -rf "$tmp"' EXIT

# Starts an example; sets its pid and its address.
start() {
    mkfifo "$tmp/$1.out"
    "${CARGO_TARGET_DIR:-target}/release/examples/$1" --driver "$2" --listen 127.0.0.1:0 \
        >"$tmp/$1.out" &
    servers+=($!)
    local line
    read -r -t 30 line <"$tmp/$1.out"
    rm "$tmp/$1.out"
    line=${line#listening on }
    printf -v "$1_pid" '%s' $!
    printf -v "$1" 'http://%s/' "${line%%,*}"
}

# The most that a process has had resident, in KiB, since it was last asked to forget that.
peak() { awk '/VmHWM/ { print $2 }' "/proc/$1/status"; }

# Runs a client of the server with that pid.
client() {
    local name=$1 pid=$2 before more start=$SECONDS
    shift 2
    echo 5 >"/proc/$pid/clear_refs"
    before=$(peak "$pid")
    if ! "$@" >"$tmp/log" 2>&1; then
        printf '%-9s FAILED\n' "$name" >&2
        cat "$tmp/log" >&2
        exit 1
    fi
    more=$(($(peak "$pid") - before))
    printf '%-9s %s; %s KiB resident over idle at most, %s s\n' "$name" "$(tail -n 1 "$tmp/log")" \
        "$more" $((SECONDS - start))
    [ "$more" -le $((32 * 1024)) ] || { echo "$name: that is more than 32 MiB" >&2; exit 1; }
}

curl_echo() {
    local field
    for field in 'X-Sized: yes' 'Transfer-Encoding: chunked'; do
        curl -fsS -T "$tmp/up" -H "$field" -H 'Expect:' -o "$tmp/down" "$wire" &&
            cmp "$tmp/up" "$tmp/down" || return
    done
    echo "$mib MiB up and down, sized and chunked: equal, SHA-256 $(sha256sum <"$tmp/down" |
        head -c 16)"
}

head -c "$((mib * 1024 * 1024))" /dev/urandom >"$tmp/up"
go build -o "$tmp/go-stream" scripts/clients/stream/main.go
# A script finds its modules beside itself.
has_node=false
if command -v npm >/dev/null && (cd "$tmp" && cp "$OLDPWD"/scripts/clients/*.mjs . &&
    npm install --silent --no-audit --no-fund undici@6 playwright-core@1 >/dev/null 2>&1); then
    has_node=true
fi
for driver in ${2:-uring epoll}; do
    start wire "$driver"
    start bulk "$driver"
    echo "wire and bulk on $driver"
    client curl "$wire_pid" curl_echo
    client go "$wire_pid" "$tmp/go-stream" -url "$wire" -mib "$mib"
    client aiohttp "$wire_pid" python3 scripts/clients/stream.py "$wire" "$mib"
    if $has_node; then
        client undici "$wire_pid" node "$tmp/stream.mjs" "$wire" "$mib"
    else
        echo 'undici    left out: no npm, or no registry'
    fi
    if command -v java >/dev/null; then
        client java "$bulk_pid" java scripts/clients/Bulk.java "$bulk" "$mib"
    else
        echo 'java      left out: no java'
    fi
    if $has_node && command -v "${CHROMIUM:-chromium}" >/dev/null; then
        client chromium "$bulk_pid" node "$tmp/bulk_page.mjs" "$bulk" "$mib"
    else
        echo 'chromium  left out: no chromium, npm or registry; CHROMIUM names one'
    fi
    stop
done
