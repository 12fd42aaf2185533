#!/usr/bin/env bash
# Ten million different users: loadgen's verdict on the figures, and what a user costs the server in
# resident memory, on one shard and on two. Needs 2 GB and some minutes. Leaves nothing running.
#   scripts/users-1mrc.sh [USERS]     default: 10000000
# What an insertion costs, and the worst: cargo bench -p sunstar-benches --bench user_set
set -euo pipefail
cd "$(dirname "$0")/.."

users=${1:-10000000}
[[ $users =~ ^[1-9][0-9]*$ ]] || { sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2; }
cargo build --release --quiet -p app-1mrc -p loadgen
bin=${CARGO_TARGET_DIR:-target}/release
tmp=$(mktemp -d)
server=''
cleanup() {
    [ -z "$server" ] || { kill -TERM "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
    rm -rf "$tmp"
}
trap cleanup EXIT
mkfifo "$tmp/out"

resident() { awk '/^VmRSS:/ { print $2 * 1024 }' "/proc/$server/status"; }

for shards in 1 2; do
    "$bin/app-1mrc" --listen 127.0.0.1:0 --smp "$shards" >"$tmp/out" &
    server=$!
    exec 3<"$tmp/out"
    read -r -t 30 line <&3 || { echo 'app-1mrc did not start' >&2; exit 1; }
    address=${line#listening on }
    address=${address%%,*}
    "$bin/loadgen" 1mrc "http://$address" -n 1000 -c 64 >/dev/null
    before=$(resident)
    # Java's payload has as many users as requests.
    "$bin/loadgen" 1mrc "http://$address" -n "$users" -c 64 --payload java >"$tmp/log" 2>&1 || {
        cat "$tmp/log"
        exit 1
    }
    after=$(resident)
    told=$(curl -fsS "http://$address/metrics" | awk '/^app_1mrc_bytes_per_user / { print $2 }')
    printf '%s: %s\n' "$line" "$(grep -m 1 '^exact' "$tmp/log")"
    awk -v before="$before" -v after="$after" -v users="$users" -v told="$told" 'BEGIN {
        printf "  resident %.0f MiB, %.1f bytes a user; /metrics says %s\n",
            after / 1048576, (after - before) / users, told }'
    kill -TERM "$server"
    wait "$server"
    server=''
    cat <&3
done
