//! [`OpenOptions`]: how a file is opened.

use std::io;
use std::path::Path;

use super::File;
use crate::runtime::file::{carry_out, is_to_be_repeated, on_a_thread};
use crate::runtime::file_op::{FileDone, FileOp};
use crate::sys::file::Mode;

/// How a file is opened; a new file may be read and written by all whom the process's mask lets.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    mode: Mode,
}

impl OpenOptions {
    /// Not to be read, not to be written, not to be made.
    pub fn new() -> OpenOptions {
        OpenOptions::default()
    }

    /// To be read; also taken when nothing else is wanted.
    pub fn read(&mut self, wanted: bool) -> &mut OpenOptions {
        self.mode.read = wanted;
        self
    }

    /// To be written.
    pub fn write(&mut self, wanted: bool) -> &mut OpenOptions {
        self.mode.write = wanted;
        self
    }

    /// To be made if it is not there.
    pub fn create(&mut self, wanted: bool) -> &mut OpenOptions {
        self.mode.set(Mode::CREATE, wanted);
        self
    }

    /// To be made, whatever [`create`](OpenOptions::create) says, and an error if it is there.
    pub fn create_new(&mut self, wanted: bool) -> &mut OpenOptions {
        self.mode.set(Mode::NEW, wanted);
        self
    }

    /// To be emptied.
    pub fn truncate(&mut self, wanted: bool) -> &mut OpenOptions {
        self.mode.set(Mode::TRUNCATE, wanted);
        self
    }

    /// Past the page cache (`O_DIRECT`): for who has a cache of its own, or writes what it does not
    /// read again. Every operation is then of whole blocks: places and lengths are multiples of
    /// [`Block::ALIGN`](crate::mem::Block::ALIGN).
    pub fn direct(&mut self, wanted: bool) -> &mut OpenOptions {
        self.mode.set(Mode::DIRECT, wanted);
        self
    }

    /// Opens what is at `path`: a file, or a block device. Nothing of the shard waits for a FIFO
    /// that has no other end yet, but a thread does, before it is refused.
    ///
    /// # Errors
    /// As `open(2)`. Of the kind `InvalidInput` if a file is to be made or emptied and not written,
    /// if the file system has no direct I/O, or if what is there is neither a file nor a block
    /// device; of the kind `ResourceBusy` if the driver has no ring and all threads that may block
    /// are busy.
    ///
    /// # Panics
    /// Outside of every shard.
    ///
    /// # Cancel safety
    /// What is opened for nobody is closed; a file that was made stays.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref();
        let changes = [Mode::CREATE, Mode::NEW, Mode::TRUNCATE];
        let changes = changes.into_iter().any(|flag| self.mode.has(flag));
        if changes && !self.mode.write {
            let why = "only a file that is opened for writing can be made or emptied: write(true)";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let opened = match carry_out(FileOp::Open(self.mode.opening(path)?)).await {
            Ok(FileDone::Opened(file)) => Ok(file.into()),
            Ok(_) => unreachable!("an open opens"),
            Err(error) if is_to_be_repeated(&error) => {
                let (mode, path) = (self.mode.clone(), path.to_owned());
                on_a_thread(move || mode.open_by_path(&path)).await
            }
            Err(error) => Err(error),
        };
        let is_direct = self.mode.has(Mode::DIRECT);
        match opened {
            Ok(file) => File::new(file, is_direct, path),
            Err(error) if is_direct && error.kind() == io::ErrorKind::InvalidInput => {
                let why = format!("{}: its file system has no direct I/O", path.display());
                Err(io::Error::new(error.kind(), why))
            }
            Err(error) => Err(error),
        }
    }
}
