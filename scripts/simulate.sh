#!/usr/bin/env bash
# Simulates whole servers, seed after seed, on all CPUs; the last line says how many seeds were run
# and how many have failed.
#
#   scripts/simulate.sh 10000          the seeds 0 to 9,999
#   scripts/simulate.sh 60s            new seeds for a minute
#   scripts/simulate.sh --seed 0x2a    one seed again, with all that it says
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-200}
test=(cargo test --quiet --release -p sunstar --features sim --test simulation)
only=(every_client_gets_what_is_due_to_it -- --nocapture)

"${test[@]}" --no-run
case $what in
--seed)
    SUNSTAR_SEED=${2:?--seed needs a number} "${test[@]}" "${only[@]}"
    ;;
*s)
    export SUNSTAR_FIRST_SEED=$((RANDOM << 30 | RANDOM << 15 | RANDOM)) SUNSTAR_SEEDS=2000
    until=$((SECONDS + ${what%s}))
    while [ $SECONDS -lt $until ]; do
        "${test[@]}" "${only[@]}" | grep -E '^(seed|[0-9]+ seeds)'
        SUNSTAR_FIRST_SEED=$((SUNSTAR_FIRST_SEED + SUNSTAR_SEEDS))
    done
    ;;
*)
    start=$(date +%s.%N)
    SUNSTAR_SEEDS=$what "${test[@]}" "${only[@]}" | grep -E '^(seed|[0-9]+ seeds)'
    awk -v start="$start" -v end="$(date +%s.%N)" -v count="$what" \
        'BEGIN { printf "%.1f s, %.2f ms a seed\n", end - start, 1000 * (end - start) / count }'
    ;;
esac
