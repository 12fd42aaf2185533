//! Files of a program's own: logs, snapshots, tables. Nothing that is awaited here holds its shard
//! up; what is not awaited is in memory, unless the file lies on a network.
//!
//! The ring reads, writes and syncs; on other drivers threads that may block do
//! ([`blocking`](crate::blocking())). Memory goes along with each operation as a
//! [`Block`](crate::mem::Block) and comes back with its end.
//!
//! ```
//! use std::io::Write;
//! use sunstar::fs::File;
//! use sunstar::mem::Block;
//! use sunstar::runtime::{Config, Placement, run_on_all_shards};
//!
//! async fn append(path: &std::path::Path) -> std::io::Result<()> {
//!     let log = File::options().write(true).create(true).open(path).await?;
//!     let mut block = Block::with_capacity(64 * 1024);
//!     writeln!(block, "first record")?;
//!     let block = log.write_at(block, 0).await?;
//!     log.sync_data().await?;
//!
//!     let log = File::open(path).await?;
//!     let block = log.read_at(block, 0).await?;
//!     assert_eq!(&block[..], b"first record\n");
//!     Ok(())
//! }
//! # let path = std::env::temp_dir().join(format!("sunstar-fs-{}", std::process::id()));
//! # let at = path.clone();
//! # let config = Config::new(Placement::unpinned(1));
//! # for result in run_on_all_shards(&config, move |_| {
//! #     let path = at.clone();
//! #     async move { append(&path).await }
//! # })? {
//! #     result.unwrap();
//! # }
//! # std::fs::remove_file(path).unwrap();
//! # Ok::<(), sunstar::Error>(())
//! ```
//!
//! What there is no operation for here (names, directories, permissions) is a matter of `std::fs`
//! in [`blocking`](crate::blocking()).

mod file;
mod options;
#[cfg(test)]
mod tests;

pub use file::File;
pub use options::OpenOptions;
