#!/usr/bin/env bash
# What clients of app-1mrc see over time, in full length: a million pairs of a write on one shard
# and a read on another, and three million events of which every answer of /stats must be a cut.
# Takes some minutes; the tests say what is wrong.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo test --release -p app-1mrc --test program -- --ignored --test-threads 1
