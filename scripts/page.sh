#!/usr/bin/env bash
# The live page of app-1mrc in headless Chromium while a run is on; see page.mjs for what is looked
# at. Needs node, npm and chromium (Debian's packages); playwright-core comes from npm into a
# temporary directory. Leaves nothing running.
#   scripts/page.sh [DIRECTORY]    where to put the pictures; default: nowhere
set -euo pipefail
cd "$(dirname "$0")/.."

tmp=$(mktemp -d)
pictures=${1:-$tmp/pictures}
mkdir -p "$pictures"
pictures=$(cd "$pictures" && pwd)
server='' client=''
cleanup() {
    for pid in $client $server; do
        kill -TERM "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    rm -rf "$tmp"
}
trap cleanup EXIT

cargo build --release --quiet -p app-1mrc -p loadgen
bin=${CARGO_TARGET_DIR:-target}/release
npm install --silent --no-save --prefix "$tmp" playwright-core@1 >/dev/null
cp scripts/page.mjs "$tmp"

mkfifo "$tmp/out" "$tmp/page"
"$bin/app-1mrc" --listen 127.0.0.1:0 --smp 2 >"$tmp/out" &
server=$!
exec 3<"$tmp/out"
read -r -t 30 line <&3
address=${line#listening on }
address=${address%%,*}

node "$tmp/page.mjs" "http://$address" "$pictures" >"$tmp/page" &
page=$!
while read -r line; do
    echo "$line"
    if [ "$line" = 'ready for load' ]; then
        "$bin/loadgen" 1mrc -n 100000000 -c 64 "http://$address" >/dev/null 2>&1 &
        client=$!
    fi
done <"$tmp/page"
wait "$page"
