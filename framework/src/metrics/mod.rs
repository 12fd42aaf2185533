//! Metrics as text: families of figures in the formats that Prometheus reads.
//!
//! A server's own are at [`server::metrics`](crate::server::metrics); a program adds its own
//! with [`Text`].

mod text;

pub use text::{Family, Format, Kind, Number, Text};
