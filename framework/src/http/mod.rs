//! HTTP as pure state machines: bytes in, events out, time as an argument.
//!
//! Nothing here does I/O, reads a clock, spawns, awaits or is `unsafe`.

mod fields;
mod head;

pub use fields::{FieldLines, Fields};
pub use head::{FieldLine, Head, Span, Version};
pub use http::{HeaderName, HeaderValue, Method, StatusCode, header};
