//! What `tests/fuzz/h1_chunked.rs` says, of any bytes: `scripts/fuzz.sh h1_chunked`.
#![no_main]

#[path = "../../tests/fuzz/cuts.rs"]
mod cuts;
#[path = "../../tests/fuzz/grammar.rs"]
mod grammar;
#[path = "../../tests/fuzz/h1_chunked.rs"]
mod h1_chunked;
#[path = "../../tests/fuzz/h1_head.rs"]
#[expect(dead_code, reason = "only its clock is asked for")]
mod h1_head;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| h1_chunked::run(bytes));
