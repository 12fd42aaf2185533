//! Any bytes, cut anywhere, are understood alike by `h1::Connection`.
//!
//! `cargo +nightly fuzz run h1_connection` in `framework/`.
#![no_main]

#[path = "../../tests/rfc9112/harness.rs"]
#[allow(dead_code, reason = "the tests use all of it, this one function")]
mod harness;

use libfuzzer_sys::fuzz_target;

/// Longer inputs only cost time: every cut is tried.
const INPUT_LEN_MAX: usize = 512;

fuzz_target!(|bytes: &[u8]| {
    if bytes.len() <= INPUT_LEN_MAX {
        harness::exchange_and_end(bytes);
    }
});
