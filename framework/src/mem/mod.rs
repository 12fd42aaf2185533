//! Buffers and the pool they come from: the memory of one shard.

mod block;
mod buf;
mod chain;
mod pool;
mod prefetch;

pub use block::Block;
pub use buf::{Buf, BufMut};
pub use chain::Chain;
pub use pool::Pool;
pub use prefetch::prefetch;
