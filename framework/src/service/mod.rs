//! Services: what answers a request, and how a handler is found and called.

mod request;
mod response;
#[expect(
    clippy::module_inception,
    reason = "a file is named after its main type"
)]
mod service;

pub use request::Request;
pub use response::{Content, IntoResponse, Response};
pub use service::{Reply, Service, ServiceFn, service_fn};
