#!/usr/bin/env bash
# Acceptance of loadgen that needs two CPUs nobody else uses: queues of theory from both sides, the
# send lag at half of the capacity, a server against itself fifty times, and wrk beside it. Takes
# about eight minutes. Ends at the first step that fails; `accept-loadgen.sh STEP` runs one of them.
set -euo pipefail
cd "$(dirname "$0")/.."

steps=${1:-queues lag self wrk memory}
cargo build --release --quiet -p loadgen
loadgen=target/release/loadgen
dir=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; rm -rf "$dir"' EXIT

# Starts a sink on CPU 0 and sets `url`.
start_sink() {
    taskset -c 0 "$loadgen" sink --listen 127.0.0.1:0 "$@" >"$dir/sink" &
    servers+=($!)
    until grep -q listening "$dir/sink"; do sleep 0.05; done
    url=http://$(sed -n 's/listening on //p' "$dir/sink")/
}

stop_sink() {
    kill "${servers[-1]}"
    wait "${servers[-1]}" 2>/dev/null || true
    unset 'servers[-1]'
}

field() { python3 -c "import json,sys; r=json.load(open('$1')); print($2)"; }

queues() {
    cargo test --release --quiet -p loadgen --test whole -- --ignored --nocapture queues_of_theory
}

# A fixed rate at half of the closed loop's: achieved >= 0.999, p99 of the own delay <= 50 us (the
# send lag has the waits for a free connection behind a server that stalled, too). Beside it wrk's closed loop, which knows no rate: what it calls latency is the service time at the ceiling.
lag() {
    start_sink
    "$loadgen" --cpus 1 -c 64 -d 5s --allow-invalid -o "$dir/closed.json" "$url" >"$dir/closed"
    local half
    half=$(field "$dir/closed.json" "int(r['rate']['ok'] / 2)")
    "$loadgen" --cpus 1 -c 64 -d "${LAG_TIME:-30s}" -R "$half" -o "$dir/half.json" "$url" || true
    taskset -c 1 wrk -t1 -c64 -d5s --latency "$url" | sed 's/^/wrk: /'
    stop_sink
    field "$dir/half.json" \
        "'achieved %.5f, own delay p99 %d ns, send lag p99 %d ns' % (r['verdict']['achieved_ratio'],
        r['verdict']['own_delay_p99_ns'], r['verdict']['send_lag_p99_ns'])"
    [ "$(field "$dir/half.json" \
        "r['verdict']['achieved_ratio'] >= 0.999 and r['verdict']['own_delay_p99_ns'] <= 50000")" = True ]
}

# A server against itself: at most three of fifty sessions may show a difference.
self() {
    start_sink
    local alarms=0
    for _ in $(seq 50); do
        "$loadgen" ab -A "$url" -B "$url" --blocks 5 -d 200ms --warmup 50ms --cpus 1 \
            -o "$dir/ab.json" >"$dir/ab" || true
        [ "$(field "$dir/ab.json" "r['comparisons'][0]['verdict'] != 'no_change_shown'")" = False ] ||
            alarms=$((alarms + 1))
    done
    stop_sink
    echo "self: $alarms of 50 sessions showed a difference in the rate"
    [ "$alarms" -le 3 ]
}

# Runs a command and leaves the CPU time that it took, in microseconds, in `$dir/cpu`.
timed() {
    python3 -c '
import resource, subprocess, sys
subprocess.run(sys.argv[2:], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
open(sys.argv[1], "w").write(str(round((used.ru_utime + used.ru_stime) * 1e6)))' "$dir/cpu" "$@"
}

# Requests per second of one client core and its CPU per request, wrk and loadgen in turn against
# the bare ring.
wrk() {
    cargo build --release --quiet -p sunstar-benches --bins
    taskset -c 0 target/release/bare_ring "${PORT:-18700}" >/dev/null &
    servers+=($!)
    sleep 0.3
    local url=http://127.0.0.1:${PORT:-18700}/ time=${WRK_TIME:-2s}
    echo 'connections depth    wrk/s   us/req   loadgen/s   us/req   ratio'
    for _ in $(seq "${REPS:-5}"); do
        for connections in 64 512; do
            for depth in 1 16; do
                local pipelined=() theirs ours
                [ "$depth" = 1 ] || pipelined=(-s scripts/pipeline.lua)
                timed taskset -c 1 wrk -t1 -c$connections "-d$time" "${pipelined[@]}" "$url" -- "$depth" \
                    >"$dir/theirs"
                theirs=$(awk -v cpu="$(cat "$dir/cpu")" \
                    '/requests in/ { n = $1 } /Requests\/sec/ { print $2, cpu / n }' "$dir/theirs")
                timed "$loadgen" --cpus 1 -c $connections -p "$depth" -d "$time" --allow-invalid \
                    --warmup 0 -o "$dir/ours.json" "$url" >"$dir/ours"
                ours=$(field "$dir/ours.json" "r['rate']['ok'], $(cat "$dir/cpu") / r['counts']['ok']" |
                    tr -d '(),')
                echo "$connections $depth $theirs $ours"
            done
        done
    done | awk '{ printf "%11d %5d %8.0f %8.3f %11.0f %8.3f %7.2f\n", $1, $2, $3, $4, $5, $6, $5 / $3 }'
    stop_sink
}

# Bytes of user memory per connection: RSS at 15,000 less that at 1,000. The rate is such that each
# of them has been used by then.
memory() {
    start_sink
    ulimit -n "$(ulimit -Hn)"
    local rss=()
    for connections in 1000 15000; do
        "$loadgen" --cpus 1 -c $connections -R 20000 -d 6s --allow-invalid "$url" >"$dir/many" &
        local pid=$!
        sleep 5
        rss+=("$(awk '/VmRSS/ { print $2 }' /proc/$pid/status)")
        wait $pid || cat "$dir/many"
    done
    stop_sink
    echo "memory: $(((rss[1] - rss[0]) * 1024 / 14000)) bytes per connection (RSS ${rss[*]} kB)"
}

for step in $steps; do
    printf '== %s\n' "$step"
    "$step"
done
