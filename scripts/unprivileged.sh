#!/usr/bin/env bash
# Runs the tests as a user without privileges: root is bound by hardly a limit, and so hides what a
# limit does (rows C18 and C75 of the fault matrix). Builds as whoever calls it, who must be root to
# become somebody else; needs setpriv, and a checkout that everybody may read. Doctests are not run:
# the compiler has to be the user's own for them.
#
#   scripts/unprivileged.sh [TEST ...]    these test programs by name, all if none is said
#   SUNSTAR_DRIVER=epoll scripts/unprivileged.sh
set -euo pipefail
cd "$(dirname "$0")/.."

nobody=65534
features=sunstar/compression,sunstar/headers,sunstar/tower,sunstar/sim
become=(setpriv --reuid=$nobody --regid=$nobody --clear-groups --no-new-privs)
if [ "$(id -u)" != 0 ]; then
    become=()
elif ! "${become[@]}" test -r Cargo.toml; then
    echo "unprivileged.sh: user $nobody cannot read $PWD: chmod a+rx it and what it is in" >&2
    exit 1
fi

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir "$home/tmp"
cargo test --workspace --features "$features" --no-run --quiet --message-format=json >"$home/built"
# Name, package directory and program of each.
python3 - "$home/built" >"$home/programs" <<'PY'
import json, os, sys
for line in open(sys.argv[1]):
    it = json.loads(line)
    if it.get("executable") and it["profile"]["test"]:
        print(it["target"]["name"], os.path.dirname(it["manifest_path"]), it["executable"], sep="\t")
PY
# Besides a home, what `CARGO_TARGET_TMPDIR` names: root may write there all the same.
scratch=${CARGO_TARGET_DIR:-target}/tmp
mkdir -p "$scratch"
[ -z "${become[*]}" ] || chown -R "$nobody:$nobody" "$home" "$scratch"

failed=()
while IFS=$'\t' read -r name package program; do
    [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
    printf '== %s: ' "$name"
    if (cd "$package" && CARGO_MANIFEST_DIR=$package HOME=$home TMPDIR=$home/tmp \
        timeout --kill-after 10 600 "${become[@]}" "$program" --quiet </dev/null) >"$home/log" 2>&1; then
        grep '^test result' "$home/log" || echo 'no tests'
    else
        failed+=("$name")
        echo FAILED
        cat "$home/log"
    fi
done <"$home/programs"
[ ${#failed[@]} = 0 ] || { printf 'failed: %s\n' "${failed[*]}" >&2; exit 1; }
echo 'all green as a user without privileges'
