//! What `tests/fuzz/h1_httparse.rs` says, of any bytes: `scripts/fuzz.sh h1_httparse`.
#![no_main]

#[path = "../../tests/fuzz/cuts.rs"]
mod cuts;
#[path = "../../tests/fuzz/h1_head.rs"]
#[expect(dead_code, reason = "only its verdict is asked for")]
mod h1_head;
#[path = "../../tests/fuzz/h1_httparse.rs"]
mod h1_httparse;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| h1_httparse::run(bytes));
