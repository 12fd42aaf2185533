//! TCP on the current shard: its listeners share their port with those of the other shards.

mod adapter;
mod listener;
mod stream;

pub use adapter::Adapter;
pub use listener::{TcpListener, refuse_if_taken};
pub use stream::TcpStream;
