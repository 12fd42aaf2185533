//! RFC 9110, HTTP Semantics: what it asks of an origin server's framing, one file per section.

#[path = "../rfc9112/harness.rs"]
mod harness;

mod section_10;
mod section_15;
mod section_2;
mod section_5;
mod section_9;
