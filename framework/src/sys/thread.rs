//! [`Thread`]: what the kernel says of one thread of this process: its time and its state.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// How a thread has spent its life so far (`/proc/PID/task/TID/schedstat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// On a CPU, in the kernel too.
    pub(crate) ran: Duration,
    /// Ready, while others had the CPUs. A wait that lasts is not in it yet.
    pub(crate) waited: Duration,
}

impl Times {
    /// Those of the calling thread; nothing on kernels that keep no such books.
    pub(crate) fn of_this_thread() -> Option<Times> {
        if super::sim::now().is_some() {
            return None;
        }
        parse(&fs::read_to_string("/proc/thread-self/schedstat").ok()?)
    }

    /// What has come since `before`.
    pub(crate) fn since(self, before: Times) -> Times {
        Times {
            ran: self.ran.saturating_sub(before.ran),
            waited: self.waited.saturating_sub(before.waited),
        }
    }
}

/// Another thread of this process.
#[derive(Debug)]
pub(crate) struct Thread {
    number: i32,
    schedstat: Option<File>,
}

impl Thread {
    /// The thread that the kernel knows by this number.
    pub(crate) fn numbered(number: i32) -> Thread {
        let schedstat = File::open(format!("/proc/self/task/{number}/schedstat")).ok();
        Thread { number, schedstat }
    }

    /// How it has spent its time; zeros on kernels that keep no such books.
    pub(crate) fn times(&self) -> Times {
        let mut text = [0; 80];
        let read = self.schedstat.as_ref().map(|it| it.read_at(&mut text, 0));
        let Some(Ok(len)) = read else {
            return Times::default();
        };
        let text = std::str::from_utf8(&text[..len]).ok();
        text.and_then(parse).unwrap_or_default()
    }

    /// Whether it waits for something in the kernel, and not for a CPU.
    pub(crate) fn is_blocked(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/self/task/{}/stat", self.number));
        // Behind the name, which may hold anything, brackets too.
        let state = stat
            .ok()
            .and_then(|stat| stat.rsplit_once(") ")?.1.chars().next());
        matches!(state, Some('S' | 'D'))
    }
}

fn parse(text: &str) -> Option<Times> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    let mut next = || Some(Duration::from_nanos(numbers.next()?.ok()?));
    let (ran, waited) = (next()?, next()?);
    Some(Times { ran, waited })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_books_are_read() {
        let times = parse("123456 789 5\n").unwrap();
        let (ran, waited) = (Duration::from_nanos(123_456), Duration::from_nanos(789));
        assert_eq!(times, Times { ran, waited });
        assert_eq!(parse("123456"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_thread_that_waits_is_blocked_and_one_that_asks_is_not() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let waits = std::thread::spawn(move || {
            tell.send(super::super::snapshot::this_thread()).unwrap();
            ended.recv().unwrap_err();
        });
        let other = Thread::numbered(told.recv().unwrap());
        while !other.is_blocked() {
            std::thread::yield_now();
        }
        let own = Thread::numbered(super::super::snapshot::this_thread());
        assert!(!own.is_blocked());
        assert!(own.times().ran > Duration::ZERO || Times::of_this_thread().is_none());
        drop(end);
        waits.join().unwrap();
        assert!(!other.is_blocked(), "it is gone");
    }
}
