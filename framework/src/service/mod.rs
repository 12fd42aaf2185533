//! Services: what answers a request, and how a handler is found and called.
#![cfg_attr(feature = "json", doc = include_str!("../../docs/manual/handlers.md"))]

mod accept;
mod extract;
mod handler;
#[cfg(feature = "json")]
mod json;
mod layer;
pub mod layers;
mod literals;
mod methods;
mod path;
mod request;
mod response;
mod router;
#[expect(
    clippy::module_inception,
    reason = "a file is named after its main type"
)]
mod service;

pub use accept::{preferred_encoding, preferred_media_type};
pub use extract::{Bytes, FromRequest, Query, Rejection};
pub use handler::Handler;
#[cfg(feature = "json")]
pub use json::Json;
pub use layer::{Layer, LayerFn, Next, layer_fn, layered};
pub use path::Path;
pub use request::Request;
pub use response::{Content, IntoResponse, Response};
pub use router::Router;
pub use service::{Reply, Service, ServiceFn, service_fn};
