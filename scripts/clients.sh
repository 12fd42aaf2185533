#!/usr/bin/env bash
# Clients written by others against app-1mrc, as they would be used: curl, wrk, h2load, Go's net/http,
# Python's aiohttp, and one that sends head and body in two writes; and against an echo of streams,
# these and, where they are, Java's HttpClient, undici and Chromium. Any other client that is not
# installed is a failure: see .ci/run for the packages. Leaves nothing running.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --quiet -p app-1mrc
cargo build --release --quiet -p sunstar --example wire
tmp=$(mktemp -d)
mkfifo "$tmp/out" "$tmp/wire"
"${CARGO_TARGET_DIR:-target}/release/app-1mrc" --listen 127.0.0.1:0 >"$tmp/out" &
server=$!
"${CARGO_TARGET_DIR:-target}/release/examples/wire" --listen 127.0.0.1:0 >"$tmp/wire" &
wire=$!
cleanup() {
    kill -TERM "$server" "$wire" 2>/dev/null && wait "$server" "$wire" 2>/dev/null || true
    rm -rf "$tmp"
}
trap cleanup EXIT
exec 3<"$tmp/out"
read -r -t 30 line <&3
address=${line#listening on }
address=${address%%,*}
url=http://$address
exec 4<"$tmp/wire"
read -r -t 30 line <&4
echo=${line#listening on }
echo=http://${echo%%,*}/

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

# Sends a file up and gets it back, with Content-Length and in chunks. STREAM_MIB=100 for more than
# a quick look.
mib=${STREAM_MIB:-8}
curl_echo() {
    head -c "$((mib * 1024 * 1024))" /dev/urandom >"$tmp/up"
    local field
    for field in 'X-Sized: yes' 'Transfer-Encoding: chunked'; do
        curl -fsS -T "$tmp/up" -H "$field" -H 'Expect:' -o "$tmp/down" "$echo" &&
            cmp "$tmp/up" "$tmp/down" || return
    done
    echo "$mib MiB up and down, sized and chunked: equal"
}

# The most that the echoing server has had resident since it started, which must not grow with what
# streams through it.
peak() { awk '/VmHWM/ { print $2 }' "/proc/$wire/status"; }
idle_peak=$(peak)
stream() {
    "$@" || return
    local more=$(($(peak) - idle_peak))
    echo "$(tail -n 1 "$tmp/log"); $more KiB resident over idle at most"
    [ "$more" -le $((32 * 1024)) ]
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
client curl-echo stream curl_echo
go build -o "$tmp/go-stream" scripts/clients/stream/main.go
client go-echo stream "$tmp/go-stream" -url "$echo" -mib "$mib"
client aiohttp-echo stream python3 scripts/clients/stream.py "$echo" "$mib"
# Java's client and browsers read no answer before they have sent all: an echo of more than the two
# sockets hold would wait for them, and they for it. What not every machine has is left out, and
# said to be.
few=$((mib < 4 ? mib : 4))
if command -v java >/dev/null; then
    client java-echo stream java scripts/clients/Stream.java "$echo" "$few"
else
    echo 'java-echo    left out: no java'
fi
# A script finds its modules beside itself.
if command -v npm >/dev/null && (cd "$tmp" && cp "$OLDPWD"/scripts/clients/*.mjs . &&
    npm install --silent --no-audit --no-fund undici@6 playwright-core@1 >/dev/null 2>&1); then
    client undici-echo stream node "$tmp/stream.mjs" "$echo" "$mib"
    if command -v "${CHROMIUM:-chromium}" >/dev/null; then
        client page-echo stream node "$tmp/stream_page.mjs" "$echo" "$few"
    else
        echo 'page-echo    left out: no chromium; CHROMIUM names one'
    fi
else
    echo 'undici-echo, page-echo    left out: no npm, or no registry'
fi
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
