//! TCP on the current shard: its listeners share their port with those of the other shards.

mod listener;
mod stream;

pub use listener::TcpListener;
pub use stream::TcpStream;
