//! [`pipe()`]: a bounded queue with one end to write and one to read, which see each other go.
//!
//! What must hold: what was written before the writer went can still be read; what was given back
//! by [`unread`](PipeReader::unread) comes first.

use std::fmt;

use super::{Closed, Queue};

/// Makes the two ends of a pipe that holds at most `len_max` items.
///
/// # Panics
/// If `len_max` is 0.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards, spawn};
/// use sunstar::sync::pipe;
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let (writer, mut reader) = pipe(1);
/// spawn(async move {
///     for word in ["one", "two"] {
///         writer.write(word).await.expect("it is read to its end");
///     }
/// })
/// .detach();
/// assert_eq!(reader.read().await, Some("one"));
/// reader.unread("again");
/// assert_eq!(reader.read().await, Some("again"));
/// assert_eq!(reader.read().await, Some("two"));
/// assert_eq!(reader.read().await, None);
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub fn pipe<T>(len_max: usize) -> (PipeWriter<T>, PipeReader<T>) {
    let queue = Queue::new(len_max);
    let writer = PipeWriter {
        queue: queue.clone(),
    };
    (
        writer,
        PipeReader {
            queue,
            unread: None,
        },
    )
}

/// The end of a pipe that items go into. Dropping it is the end of what can be read.
pub struct PipeWriter<T> {
    queue: Queue<T>,
}

impl<T> PipeWriter<T> {
    /// Waits for room and writes an item.
    ///
    /// # Errors
    /// When the reader is gone. The item is dropped then.
    ///
    /// # Cancel safety
    /// Dropping the future drops the item, unless it was written.
    pub async fn write(&self, item: T) -> Result<(), Closed> {
        self.queue.push(item).await
    }
}

impl<T> Drop for PipeWriter<T> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl<T> fmt::Debug for PipeWriter<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PipeWriter")
    }
}

/// The end of a pipe that items come out of. Dropping it drops what is in the pipe and lets the
/// writer know.
pub struct PipeReader<T> {
    queue: Queue<T>,
    unread: Option<T>,
}

impl<T> PipeReader<T> {
    /// Waits for the next item; `None` when the writer is gone and all was read.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing.
    pub async fn read(&mut self) -> Option<T> {
        match self.unread.take() {
            Some(item) => Some(item),
            None => self.queue.pop().await.ok(),
        }
    }

    /// Gives an item back, or what is left of it: it is what is read next.
    ///
    /// # Panics
    /// If another one was given back and not read since.
    pub fn unread(&mut self, item: T) {
        assert!(self.unread.is_none(), "one item can be unread at a time");
        self.unread = Some(item);
    }
}

impl<T> Drop for PipeReader<T> {
    fn drop(&mut self) {
        self.queue.close();
        while let Some(item) = self.queue.try_pop() {
            drop(item);
        }
    }
}

impl<T> fmt::Debug for PipeReader<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PipeReader")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::poll;
    use std::rc::Rc;

    #[test]
    fn a_writer_waits_at_the_bound_and_goes_on_when_something_was_read() {
        let (writer, mut reader) = pipe(2);
        for item in [1, 2] {
            assert_eq!(poll(&mut Box::pin(writer.write(item))), Some(Ok(())));
        }
        let mut third = Box::pin(writer.write(3));
        assert_eq!(poll(&mut third), None);
        assert_eq!(poll(&mut Box::pin(reader.read())), Some(Some(1)));
        assert_eq!(poll(&mut third), Some(Ok(())));
    }

    #[test]
    fn what_was_written_before_the_end_is_read_before_it() {
        let (writer, mut reader) = pipe(2);
        assert_eq!(poll(&mut Box::pin(writer.write('a'))), Some(Ok(())));
        drop(writer);
        reader.unread('b');
        let read = [(); 3].map(|()| poll(&mut Box::pin(reader.read())));
        assert_eq!(read, [Some(Some('b')), Some(Some('a')), Some(None)]);
    }

    #[test]
    fn the_writer_learns_that_the_reader_is_gone_and_what_was_in_it_is_dropped() {
        let (writer, reader) = pipe(1);
        let item = Rc::new(());
        assert!(poll(&mut Box::pin(writer.write(Rc::clone(&item)))).is_some());
        let mut waiting = Box::pin(writer.write(Rc::clone(&item)));
        assert_eq!(poll(&mut waiting), None);
        drop(reader);
        assert_eq!(poll(&mut waiting), Some(Err(Closed)));
        drop(waiting);
        assert_eq!(Rc::strong_count(&item), 1);
    }

    #[test]
    fn dropped_while_it_waits_a_read_takes_and_a_write_leaves_nothing() {
        let (writer, mut reader) = pipe(1);
        for _ in 0..2 {
            let mut read = Box::pin(reader.read());
            assert_eq!(poll(&mut read), None);
            assert_eq!(poll(&mut Box::pin(writer.write(1))), Some(Ok(())));
            drop(read);
            let mut write = Box::pin(writer.write(2));
            assert_eq!(poll(&mut write), None);
            drop(write);
            assert_eq!(poll(&mut Box::pin(reader.read())), Some(Some(1)));
        }
        assert_eq!(poll(&mut Box::pin(reader.read())), None);
    }

    #[test]
    #[should_panic(expected = "one item can be unread")]
    fn a_second_unread_item_is_refused() {
        let (_writer, mut reader) = pipe(1);
        reader.unread(1);
        reader.unread(2);
    }
}
