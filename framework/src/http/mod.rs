//! HTTP as pure state machines: bytes in, events out, time as an argument.
//!
//! Nothing here does I/O, reads a clock, spawns, awaits or is `unsafe`.

pub mod date;
pub mod h1;

mod content;
mod error;
mod event;
mod fields;
mod head;
mod limits;
mod trailers;

pub use content::Length;
pub use error::Error;
pub use event::Event;
pub use fields::{FieldLines, Fields, FixedFields};
pub(crate) use head::Found;
pub use head::{Head, Span, Version};
pub use http::{HeaderName, HeaderValue, Method, StatusCode, header};
pub use limits::Limits;
pub use trailers::Trailers;
