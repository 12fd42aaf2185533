//! HTTP/1.1 and HTTP/1.0 as a server speaks them (RFC 9112).

mod connection;

pub use connection::Connection;
