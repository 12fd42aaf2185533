#!/usr/bin/env bash
# Acceptance of loadgen that needs two CPUs nobody else uses: queues of theory from both sides, the
# send lag at half of the capacity, a server against itself fifty times, wrk beside it, memory,
# where the time goes, and what the live view costs. Takes about twelve minutes. Ends at the first
# step that fails; `accept-loadgen.sh STEP...` runs some of them. Needs python3, wrk, perf and script(1).
set -euo pipefail
cd "$(dirname "$0")/.."

steps=${*:-queues lag self wrk memory profile view}
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

# A fixed rate at half of the closed loop's: achieved >= 0.999, p99 of the send lag <= 50 us, as a
# user gets it who says nothing but the rate. With so many connections that a stall of the server of
# some milliseconds leaves one free. Whatever else takes the client's CPU counts, so nothing else
# may run. Beside it wrk's closed loop, which knows no rate: what it calls latency is the service
# time at the ceiling.
lag() {
    local connections=${LAG_CONNECTIONS:-512} half
    start_sink
    local run=("$loadgen" --cpus 1 -c "$connections" --allow-invalid)
    "${run[@]}" -d 5s -o "$dir/closed.json" "$url" >"$dir/closed"
    half=$(field "$dir/closed.json" "int(r['rate']['ok'] / 2)")
    "${run[@]}" -d "${LAG_TIME:-30s}" -R "$half" -o "$dir/half.json" "$url"
    taskset -c 1 wrk -t1 -c"$connections" -d5s --latency "$url" | sed 's/^/wrk: /'
    stop_sink
    field "$dir/half.json" \
        "'achieved %.5f, send lag p99 %d ns, own delay p99 %d ns' % (r['verdict']['achieved_ratio'],
        r['verdict']['send_lag_p99_ns'], r['verdict']['own_delay_p99_ns'])"
    [ "$(field "$dir/half.json" "r['verdict']['achieved_ratio'] >= 0.999 and
        r['verdict']['send_lag_p99_ns'] <= 50000")" = True ]
}

# A server against itself: at most three of fifty sessions may show a difference.
self() {
    start_sink
    local alarms=0
    for _ in $(seq 50); do
        "$loadgen" ab -A "$url" -B "$url" --blocks 5 -d 200ms --warmup 50ms --cpus 1 \
            -o "$dir/ab.json" >"$dir/ab" || true
        [ "$(field "$dir/ab.json" "r['comparisons'][0]['verdict']")" = no_change_shown ] ||
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

start_ring() {
    cargo build --release --quiet -p sunstar-benches --bin bare_ring
    taskset -c 0 target/release/bare_ring "${PORT:-18700}" >/dev/null &
    servers+=($!)
    sleep 0.3
    url=http://127.0.0.1:${PORT:-18700}/
}

# Requests per second of one client core and its CPU per request, wrk and loadgen in turn against
# the bare ring; each round, and then medians and ranges.
wrk() {
    start_ring
    local time=${WRK_TIME:-2s}
    for _ in $(seq "${REPS:-5}"); do
        for connections in 64 512; do
            for depth in 1 16; do
                local pipelined=() theirs ours
                [ "$depth" = 1 ] || pipelined=(-s scripts/pipeline.lua)
                timed taskset -c 1 wrk -t1 -c$connections "-d$time" "${pipelined[@]}" "$url" \
                    -- "$depth" >"$dir/theirs"
                theirs=$(awk -v cpu="$(cat "$dir/cpu")" \
                    '/requests in/ { n = $1 } /Requests\/sec/ { print $2, cpu / n }' "$dir/theirs")
                timed "$loadgen" --cpus 1 -c $connections -p "$depth" -d "$time" --allow-invalid \
                    --warmup 0 -o "$dir/ours.json" "$url" >"$dir/ours"
                ours=$(field "$dir/ours.json" \
                    "r['rate']['ok'], $(cat "$dir/cpu") / r['counts']['ok']" | tr -d '(),')
                echo "$connections $depth $theirs $ours"
            done
        done
    done | python3 -c '
import statistics, sys
rows = {}
for line in sys.stdin:
    connections, depth, *figures = line.split()
    rows.setdefault((int(connections), int(depth)), []).append([float(x) for x in figures])
print("                        wrk                loadgen      loadgen / wrk, median (range)")
print("conns depth    req/s  us/req    req/s  us/req  rate              CPU per request")
def spread(values):
    return "%.2f (%.2f-%.2f)" % (statistics.median(values), min(values), max(values))
for (connections, depth), rounds in sorted(rows.items()):
    middle = [statistics.median(column) for column in zip(*rounds)]
    print("%5d %5d %8d %7.3f %8d %7.3f  %-16s  %s" % (connections, depth, *middle,
        spread([r[2] / r[0] for r in rounds]), spread([r[3] / r[1] for r in rounds])))'
    stop_sink
}

# Where the time of the client core goes, in nanoseconds of a request, by symbol.
profile() {
    start_ring
    for depth in 1 16; do
        "$loadgen" --cpus 1 -c 64 -p $depth -d 6s --allow-invalid -o "$dir/ours.json" "$url" \
            >"$dir/ours" &
        local pid=$!
        sleep 2
        perf record -q -e cpu-clock -F 5000 -o "$dir/perf" -p $pid -- sleep 3
        wait $pid || cat "$dir/ours"
        perf script -i "$dir/perf" -F ip,sym,dso 2>/dev/null | python3 -c '
import collections, sys
rate, depth = float(sys.argv[1]), sys.argv[2]
count, user, all = collections.Counter(), 0, 0
for line in sys.stdin:
    parts = line.split(None, 1)
    if len(parts) < 2:
        continue
    symbol, _, place = parts[1].strip().rpartition(" (")
    kernel = "kernel" in place or place.startswith("[")
    all, user = all + 1, user + (not kernel)
    count["the kernel" if kernel else symbol] += 1
nanos = 1e9 / rate / all
print("depth %s: %.0f ns a request, kernel %.0f, user %.0f" %
    (depth, nanos * all, nanos * (all - user), nanos * user))
for symbol, n in count.most_common(12):
    print("%8.0f  %s" % (nanos * n, symbol))' "$(field "$dir/ours.json" "r['rate']['ok']")" $depth
    done
    stop_sink
}

# What the live view costs: CPU time of the thread that draws it, with it and without. (A rate is
# not steady enough to show a hundredth of it.)
view() {
    start_sink
    for quiet in '' --quiet; do
        script -qec "$loadgen -c 64 -R 20k -d 8s --warmup 1s --allow-invalid $quiet $url" \
            /dev/null >"$dir/view" </dev/null &
        local pid thread before after run=$!
        sleep 2
        pid=$(pgrep -n -f "^$loadgen -c 64 -R 20k")
        thread=$(dirname "$(grep -l observer /proc/"$pid"/task/*/comm)")
        before=$(cut -d' ' -f1 "$thread/schedstat")
        sleep 5
        after=$(cut -d' ' -f1 "$thread/schedstat")
        echo "view '$quiet': $(((after - before) / 5000)) us of CPU per second"
        wait $run
    done
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
