//! A simulated server and its clients, whose every choice is one of the fuzzer's bytes.
//!
//! `cargo +nightly fuzz run connection` in `framework/`.
#![no_main]

#[path = "../../tests/simulation/http.rs"]
mod http;
#[path = "../../tests/simulation/script.rs"]
mod script;
#[path = "../../tests/simulation/service.rs"]
mod service;

use std::panic;
use std::process;
use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use sunstar::testing::Seed;

/// The fuzzer ends at the first panic; those that the service has planned are none of its business.
fn allow_planned_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(|panic| {
            let text = panic.payload_as_str().unwrap_or_default();
            if !text.starts_with("planned") {
                eprintln!("{panic}");
                process::abort();
            }
        }));
    });
}

fuzz_target!(|bytes: &[u8]| {
    allow_planned_panics();
    let conditions = http::Conditions {
        losses: true,
        endings: false,
        clients_max: usize::MAX,
    };
    http::run(Seed::from_bytes(bytes), conditions);
});
