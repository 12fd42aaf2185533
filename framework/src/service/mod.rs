//! Services: what answers a request, and how a handler is found and called.
#![cfg_attr(feature = "json", doc = include_str!("../../docs/manual/handlers.md"))]

mod accept;
mod blocking;
mod body;
mod conditional;
mod cookie;
mod extract;
mod form;
mod handler;
mod inflow;
#[cfg(feature = "json")]
mod json;
mod layer;
pub mod layers;
mod literals;
mod media_type;
mod methods;
mod multipart;
mod path;
mod range;
mod redirect;
mod request;
mod response;
mod router;
mod serve_dir;
#[expect(
    clippy::module_inception,
    reason = "a file is named after its main type"
)]
mod service;
mod site_file;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "headers")]
mod typed_header;

pub use accept::{preferred_encoding, preferred_media_type};
pub use conditional::{Condition, ETag, Validators};
pub use cookie::{Cookies, SameSite, SetCookie};
mod stream;
mod upgrade;

pub use blocking::BlockingHandler;
pub use body::{Body, BodyError};
pub use extract::{Bytes, FromRequest, Query, Rejection};
pub use form::Form;
pub use handler::Handler;
#[cfg(feature = "json")]
pub use json::Json;
pub use layer::{Layer, LayerFn, Next, layer_fn, layered};
pub use multipart::{Multipart, Part};
pub use path::Path;
pub use range::Ranges;
pub use redirect::Redirect;
pub use request::Request;
pub use response::{Content, IntoResponse, Response};
pub use router::Router;
pub use serve_dir::ServeDir;
pub use service::{Reply, Service, ServiceFn, service_fn};
pub use stream::{Outflow, Piece, Streamed, generate};
#[cfg(feature = "headers")]
pub use typed_header::TypedHeader;
pub use upgrade::{Takeover, Upgrade, Upgraded};

pub(crate) use inflow::Inflow;
