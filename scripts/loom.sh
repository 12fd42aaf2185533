#!/usr/bin/env bash
# Tries all interleavings of what threads share (framework/loom). Needs the crate `loom`.
set -euo pipefail
cd "$(dirname "$0")/../framework/loom"
export CARGO_TARGET_DIR=../../target/loom
# The tests that stand in those files are of the real atomics.
cargo test --release --quiet -- --skip ::tests::
