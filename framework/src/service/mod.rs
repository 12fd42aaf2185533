//! Services: what answers a request, and how a handler is found and called.
#![cfg_attr(feature = "json", doc = include_str!("../../docs/manual/handlers.md"))]

mod body;
mod extract;
mod handler;
mod inflow;
#[cfg(feature = "json")]
mod json;
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
mod stream;
mod upgrade;

pub use body::{Body, BodyError};
pub use extract::{Bytes, FromRequest, Query, Rejection};
pub use handler::Handler;
#[cfg(feature = "json")]
pub use json::Json;
pub use path::Path;
pub use request::Request;
pub use response::{Content, IntoResponse, Response};
pub use router::Router;
pub use service::{Reply, Service, ServiceFn, service_fn};
pub use stream::{Outflow, Piece, Streamed, generate};
pub use upgrade::{Takeover, Upgrade, Upgraded};

pub(crate) use inflow::Inflow;
