//! What `tests/fuzz/h1_head.rs` says, of any bytes: `scripts/fuzz.sh h1_head`.
#![no_main]

#[path = "../../tests/fuzz/cuts.rs"]
mod cuts;
#[path = "../../tests/fuzz/h1_head.rs"]
mod h1_head;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| h1_head::run(bytes));
