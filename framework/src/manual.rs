//! The manual's chapters that belong to no one module. Every example in them is compiled and run.
//!
//! Others stand where they belong: handlers in [`service`](crate::service), layers and files in
//! [`service::layers`](crate::service::layers), drivers in [`runtime`](crate::runtime).

#[doc = include_str!("../docs/manual/shards.md")]
pub mod shards {}

#[doc = include_str!("../docs/manual/messages.md")]
pub mod messages {}

#[doc = include_str!("../docs/manual/cancelling.md")]
pub mod cancelling {}

#[doc = include_str!("../docs/manual/blocking.md")]
pub mod blocking {}

#[doc = include_str!("../docs/manual/seastar.md")]
pub mod seastar {}
