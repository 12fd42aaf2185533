//! RFC 9112, HTTP/1.1: what it asks of an origin server, one file per section. Each request is sent
//! whole, byte by byte and cut in two at every place.

mod agreement;
mod harness;
mod limits;
mod section_2;
mod section_3;
mod section_4;
mod section_5;
mod section_6;
mod section_7;
mod section_8;
mod section_9;
mod session;
mod timeouts;
