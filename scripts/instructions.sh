#!/usr/bin/env bash
# Counts the instructions of pure code (parser, router, JSON, events) under valgrind, and fails when
# one needs more than TOLERANCE per cent more than benches/instructions/baseline.txt says. The counts
# do not depend on the machine's load, but on the compiler: see --renew. About 15 s once built.
#   scripts/instructions.sh            compares
#   scripts/instructions.sh --renew    writes the baseline anew: after an improvement, after a
#                                      growth that is wanted (say why in the commit), or for a new
#                                      compiler, when the old one was green at the same commit
set -euo pipefail
cd "$(dirname "$0")/.."

TOLERANCE=${TOLERANCE:-3}
baseline=benches/instructions/baseline.txt
few=2000 many=4000
command -v valgrind >/dev/null || { echo 'valgrind is missing: install it' >&2; exit 1; }

# No whole-program optimisation: it takes minutes, and the counts would move with everything. Its own
# directory, so that the programs of `cargo build --release` stay as they are.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
target=${CARGO_TARGET_DIR:-target}/instructions
cargo build --release --quiet -p sunstar-instructions --target-dir "$target"
program=$target/release/instructions

# All instructions of a run.
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 |
        awk '/Collected/ { print $4 }'
}

counted=$(mktemp)
trap 'rm -f "$counted"' EXIT
for name in $("$program"); do
    first=$(count "$name" $few) second=$(count "$name" $many)
    if [ -z "$first" ] || [ -z "$second" ]; then
        echo "valgrind has not counted $name" >&2
        exit 1
    fi
    awk -v name="$name" -v all=$((second - first)) -v times=$((many - few)) \
        'BEGIN { printf "%s %.1f\n", name, all / times }' >>"$counted"
done

compiler=$(rustc --version)
if [ "${1:-}" = --renew ]; then
    { echo "# instructions of one repetition; $compiler"; cat "$counted"; } >"$baseline"
    cat "$baseline"
    exit
fi
grep -qF "$compiler" "$baseline" ||
    echo "the baseline is of another compiler than $compiler: differences may be its own"
awk -v tolerance="$TOLERANCE" '
    NR == FNR { if ($1 != "#") known[$1] = $2; next }
    !($1 in known) { print $1, "has no baseline: run scripts/instructions.sh --renew"; bad++; next }
    {
        grown = ($2 / known[$1] - 1) * 100
        worse = grown > tolerance
        printf "%-20s %9.1f, baseline %9.1f, %+6.2f %%%s\n", $1, $2, known[$1], grown,
            worse ? "  MORE THAN " tolerance " %" : ""
        bad += worse
        delete known[$1]
    }
    END {
        for (name in known) { print name, "is in the baseline and was not counted"; bad++ }
        if (bad) print "wanted or the compiler'"'"'s? scripts/instructions.sh --renew, and say why"
        exit bad > 0
    }' "$baseline" "$counted"
