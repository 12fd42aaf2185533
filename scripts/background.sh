#!/usr/bin/env bash
# What a computation in the background costs those in the foreground: the latency of /plaintext with
# and without one that has a tenth of the shares, interleaved (A B B A ...), each run on a server of
# its own on CPU 0, driven from CPU 1 at a fixed rate. Prints the medians and how much p99 moves.
# With --sleepers N it is N calls at a time of a handler that blocks for a second instead; without
# them these calls go to a second server on CPU 1, where the threads that block run in either case, so
# that the machine has the same to do.
#
#   scripts/background.sh [--seconds 5] [--reps 4] [--rate 5000] [--shares 10] [--sleepers 0]
#
# Needs `cargo build --release -p sunstar --example background -p loadgen`, or the directory of both
# in BIN. Takes about 2 x reps x (seconds + 1) seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=5 reps=4 rate=5000 shares=10 sleepers=0
while (($#)); do
    case $1 in
        --seconds | --reps | --rate | --shares | --sleepers) declare "${1#--}=$2"; shift 2 ;;
        *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
bin=${BIN:-target/release}
example=$bin/examples/background
[[ -x $example ]] || example=$bin/background
results=$(mktemp -d)
servers=()
end() {
    for server in "${servers[@]}"; do
        kill "$server" || true
        wait "$server" || true
    done
    servers=()
}
trap 'end; rm -rf "$results"' EXIT

# Starts the example on a CPU, computing with so many shares, and sets `address`.
start() {
    local line
    "$example" --listen 127.0.0.1:0 --cpuset "$1" --shares "$2" >"$results/started" &
    servers+=($!)
    until line=$(grep -o 'listening on [^,]*' "$results/started"); do
        kill -0 $!
    done
    address=${line#listening on }
}

measure() {
    local name=$1 shares=$2 sleeping=
    if ((sleepers > 0)); then
        start 1 0
        local other=$address
        start 0 0
        local sleep_on=$other
        [[ $shares = 0 ]] || sleep_on=$address
        "$bin/loadgen" run -q --allow-invalid -c "$sleepers" -d "$((seconds + 1))s" --warmup 0 \
            --cpus 1 "http://$sleep_on/sleep" >/dev/null &
        sleeping=$!
    else
        start 0 "$shares"
    fi
    "$bin/loadgen" run -q --allow-invalid -R "$rate" -c 32 -d "${seconds}s" --warmup 500ms \
        --cpus 1 -o "$results/$name.json" "http://$address/plaintext" >/dev/null
    [[ -z $sleeping ]] || wait "$sleeping"
    end
}

for ((rep = 0; rep < reps; rep++)); do
    if ((rep % 2)); then order=("with $shares" 'without 0'); else order=('without 0' "with $shares"); fi
    for run in "${order[@]}"; do
        measure "${run% *}-$rep" "${run#* }"
    done
done
what="a background of $shares shares to 100"
((sleepers == 0)) || what="$sleepers calls that block"
python3 - "$results" "$rate" "$what" <<'END'
import json, pathlib, statistics, sys
place, rate, what = sys.argv[1:]
def latencies(name):
    runs = [json.loads(path.read_text()) for path in sorted(pathlib.Path(place).glob(f"{name}-*.json"))]
    of = lambda run: run["latency"]["response"]["percentiles"]
    return [{key: value["value"] / 1000 for key, value in of(run).items()} for run in runs]
print(f"# /plaintext at {rate} requests/s, medians of {len(latencies('with'))} runs, in us")
rows = {name: latencies(name) for name in ("without", "with")}
middle = {}
for name, runs in rows.items():
    keys = [key for key in ("50", "90", "99", "99.9") if all(key in run for run in runs)]
    middle[name] = {key: statistics.median(run[key] for run in runs) for key in keys}
    print(f"{name:8}", "  ".join(f"p{key} {middle[name][key]:>10.1f}" for key in keys))
if any("99" not in run for runs in rows.values() for run in runs):
    sys.exit("too few requests for a p99: give more --seconds or a higher --rate")
moved = middle["with"]["99"] / middle["without"]["99"] - 1
print(f"p99 moves by {100 * moved:+.1f} % with {what}")
END
