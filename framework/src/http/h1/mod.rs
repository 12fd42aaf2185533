//! HTTP/1.1 and HTTP/1.0 as a server speaks them (RFC 9112), strictly.

mod chunked;
mod connection;
mod encode;
mod grammar;
mod line;
mod memo;
mod parse;
mod quick;
mod receiver;
mod said;
mod section;
mod sender;
mod terms;

pub use connection::{Connection, Parked};
pub use memo::Memo;
