//! What `tests/fuzz/h1_connection.rs` says, of any bytes: `scripts/fuzz.sh h1_connection`.
#![no_main]

#[path = "../../tests/fuzz/answers.rs"]
mod answers;
#[path = "../../tests/fuzz/cuts.rs"]
mod cuts;
#[path = "../../tests/fuzz/grammar.rs"]
#[expect(dead_code, reason = "only the content of answers is read by it")]
mod grammar;
#[path = "../../tests/fuzz/h1_connection.rs"]
mod h1_connection;
#[path = "../../tests/fuzz/h1_head.rs"]
#[expect(dead_code, reason = "only its clock is asked for")]
mod h1_head;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| h1_connection::run(bytes));
