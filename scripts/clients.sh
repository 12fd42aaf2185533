#!/usr/bin/env bash
# Clients written by others against app-1mrc, as they would be used: curl, wrk, h2load, Go's net/http,
# Python's aiohttp, and one that sends head and body in two writes. A client that is not installed is
# a failure: see .ci/run for the packages. Leaves nothing running.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --quiet -p app-1mrc
tmp=$(mktemp -d)
mkfifo "$tmp/out"
"${CARGO_TARGET_DIR:-target}/release/app-1mrc" --listen 127.0.0.1:0 >"$tmp/out" &
server=$!
cleanup() {
    kill -TERM "$server" 2>/dev/null && wait "$server" 2>/dev/null || true
    rm -rf "$tmp"
}
trap cleanup EXIT
exec 3<"$tmp/out"
read -r -t 30 line <&3
address=${line#listening on }
address=${address%%,*}
url=http://$address

# Runs one client against a server that has counted nothing. What is run as a condition does not end
# at its first error, whatever `set -e` says: each step of a client has to say so.
client() {
    local name=$1
    shift
    curl -fsS -o /dev/null -X POST "$url/reset"
    if "$@" >"$tmp/log" 2>&1; then
        printf '%-12s ok: %s\n' "$name" "$(tail -n 1 "$tmp/log")"
    else
        printf '%-12s FAILED\n' "$name" >&2
        cat "$tmp/log" >&2
        exit 1
    fi
}

curl_stats() {
    curl -fsS -d '{"userId":"a","value":1.5}' "$url/event" || return
    [ "$(curl -fsS "$url/stats")" = '{"totalRequests":1,"uniqueUsers":1,"sum":1.5,"avg":1.5}' ] || return
    echo exact
}

wrk_events() {
    cat >"$tmp/post.lua" <<'LUA'
wrk.method = "POST"
wrk.body = '{"userId":"user_1","value":1.5}'
LUA
    wrk -t1 -c64 -d2 -s "$tmp/post.lua" "$url/event" | tee "$tmp/wrk" || return
    ! grep -E 'Non-2xx|Socket errors' "$tmp/wrk"
}

h2load_stats() {
    h2load --h1 -n 20000 -c 50 "$url/stats" | grep -E '^requests: .* 20000 succeeded, 0 failed'
}

client curl curl_stats
client wrk wrk_events
client h2load h2load_stats
go build -o "$tmp/go-client" scripts/clients/go/main.go
client go-1000 "$tmp/go-client" -url "$url" -n 100000 -c 1000
client go-2000-seq "$tmp/go-client" -url "$url" -n 2000 -sequential
client aiohttp python3 scripts/clients/aiohttp_client.py --url "$url" -n 20000 -c 1000
for payload in random decimals cancel unicode; do
    client "$payload" python3 scripts/clients/exact.py --url "$url" -n 50000 "$payload"
done
client two-writes python3 scripts/clients/two_writes.py --host 127.0.0.1 --port "${address##*:}" -n 2000
