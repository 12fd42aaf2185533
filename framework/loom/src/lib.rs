//! Tries all interleavings of what threads share: the doorbell's flag with the queues behind it.
//!
//! What must hold: it is the library's own source that is tried, built from loom's atomics. Run by
//! `scripts/loom.sh`.
#![cfg(test)]
// Where it stands, a reason is given.
#![warn(unsafe_code)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "the files belong to another crate, which uses all of them"
)]

#[path = "../../src/runtime/backlog.rs"]
mod backlog;
#[path = "../../src/runtime/parked.rs"]
mod parked;
#[path = "../../src/sys/spsc.rs"]
mod spsc;
#[path = "../../src/runtime/woken.rs"]
mod woken;

/// What `runtime::atomic` and `sys::atomic` are there.
mod atomic {
    pub(super) use loom::cell::UnsafeCell;
    pub(super) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
    pub(super) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
}

use std::ops::Range;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use backlog::{Backlog, Pushed};
use parked::Parked;
use woken::{Raised, Woken};

/// A shard and what others see of it, but for the queues between it and them.
struct Shard {
    parked: Parked,
    woken: Woken<u8>,
    /// What sleeping waits for: the message or eventfd of a doorbell.
    bell: AtomicUsize,
}

impl Shard {
    fn new() -> Arc<Shard> {
        Arc::new(Shard {
            parked: Parked::new(),
            woken: Woken::new(),
            bell: AtomicUsize::new(0),
        })
    }

    fn ring(&self) {
        if self.parked.take() {
            self.bell.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Goes to sleep. Tells whether it would sleep for ever unless a bell rings.
    fn sleeps(&self, queues: &[spsc::Receiver<()>]) -> bool {
        self.parked.raise();
        let message = queues.iter().any(|queue| !queue.is_empty());
        !message && !self.woken.is_waiting()
    }
}

#[test]
fn a_message_and_a_shard_that_goes_to_sleep_do_not_miss_each_other() {
    loom::model(|| {
        let shard = Shard::new();
        let (mut queue, received) = spsc::channel(1);
        let to = Arc::clone(&shard);
        let sending = thread::spawn(move || {
            assert_eq!(queue.send(&mut vec![((), 0)]), 1);
            to.ring();
        });
        let sleeps = shard.sleeps(&[received]);
        sending.join().unwrap();
        let rung = shard.bell.load(Ordering::SeqCst) > 0;
        assert!(!sleeps || rung, "asleep, with a message and without a bell");
    });
}

#[test]
fn a_queue_loses_nothing_also_where_it_is_full() {
    loom::model(|| {
        let (mut sender, mut receiver) = spsc::channel(2);
        let sending = thread::spawn(move || {
            // One, and two together, for which there is room for one until the first was received.
            let items = |range: Range<u32>| range.map(|item| (Box::new(item), 7)).collect();
            sender.send(&mut items(0..1));
            let mut items: Vec<_> = items(1..3);
            while !items.is_empty() {
                sender.send(&mut items);
                thread::yield_now();
            }
        });
        // The last one is received, or goes with the queue.
        for item in 0..2 {
            let received = loop {
                match receiver.receive() {
                    Some(received) => break received,
                    None => thread::yield_now(),
                }
            };
            assert_eq!((*received.0, received.1), (item, 7));
        }
        let last = receiver.receive();
        assert!(last.is_none_or(|(item, label)| (*item, label) == (2, 7)));
        drop(receiver);
        sending.join().unwrap();
    });
}

#[test]
fn two_senders_wake_a_shard_once() {
    loom::model(|| {
        let shard = Shard::new();
        let send = |to: Arc<Shard>, mut queue: spsc::Sender<()>| {
            thread::spawn(move || {
                assert_eq!(queue.send(&mut vec![((), 0)]), 1);
                to.ring();
            })
        };
        let (one, from_one) = spsc::channel(1);
        let (other, from_other) = spsc::channel(1);
        let sending = [
            send(Arc::clone(&shard), one),
            send(Arc::clone(&shard), other),
        ];
        let sleeps = shard.sleeps(&[from_one, from_other]);
        sending
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        let rung = shard.bell.load(Ordering::SeqCst);
        assert!(rung <= 1, "rung {rung} times");
        assert!(
            !sleeps || rung == 1,
            "asleep, with messages and without a bell"
        );
    });
}

#[test]
fn a_task_woken_by_another_thread_is_taken_up() {
    loom::model(|| {
        let shard = Shard::new();
        let other = Arc::clone(&shard);
        let waking = thread::spawn(move || {
            other.woken.push(7).expect("open");
            other.ring();
        });
        let mut taken = if shard.woken.is_waiting() {
            shard.woken.take()
        } else {
            Vec::new()
        };
        let sleeps = shard.sleeps(&[]);
        waking.join().unwrap();
        let rung = shard.bell.load(Ordering::SeqCst) > 0;
        assert!(
            !sleeps || rung || taken == [7],
            "asleep, with a task that nobody runs"
        );
        taken.extend(shard.woken.take());
        assert_eq!(taken, [7], "each task once");
        assert!(!shard.woken.is_waiting());
    });
}

#[test]
fn a_call_that_meets_the_end_is_taken_up_or_given_back() {
    loom::model(|| {
        let shard = Shard::new();
        let other = Arc::clone(&shard);
        let calling = thread::spawn(move || {
            let pushed = other.woken.push(7);
            if pushed.is_ok() {
                other.ring();
            }
            pushed
        });
        // The shard's last turn, and its end.
        let mut taken = shard.woken.take();
        taken.extend(shard.woken.close());
        match calling.join().unwrap() {
            Ok(()) => assert_eq!(taken, [7], "in, and nobody takes it up"),
            Err(back) => assert_eq!((back, taken.len()), (7, 0)),
        }
        assert!(!shard.woken.is_waiting());
        assert_eq!(shard.woken.push(8), Err(8));
    });
}

#[test]
fn what_waits_for_a_thread_is_run_once_and_the_threads_end() {
    loom::model(|| {
        let backlog = Arc::new(Backlog::new());
        let run = Arc::new(AtomicUsize::new(0));
        // A thread that was started for the first task, and is to take the second one too.
        assert_eq!(backlog.push(1, 1, 1), Ok(Pushed::NeedsThread));
        let (inside, sum) = (Arc::clone(&backlog), Arc::clone(&run));
        let thread = thread::spawn(move || {
            while let Some(task) = inside.next() {
                sum.fetch_add(task, Ordering::Relaxed);
                inside.done();
            }
        });
        let pushed = backlog.push(2, 1, 1);
        assert_eq!(
            pushed,
            Ok(Pushed::Taken),
            "there is room for one that waits"
        );
        let left: usize = backlog.close().into_iter().sum();
        assert_eq!(backlog.push(4, 1, 1), Err(4));
        thread.join().unwrap();
        assert_eq!(run.load(Ordering::Relaxed) + left, 3, "each once");
    });
}

#[test]
fn an_idle_thread_is_woken_for_what_comes() {
    loom::model(|| {
        let backlog = Arc::new(Backlog::new());
        assert_eq!(backlog.push(1, 1, 0), Ok(Pushed::NeedsThread));
        let inside = Arc::clone(&backlog);
        let thread = thread::spawn(move || {
            let mut sum = 0;
            // Two tasks, or for ever.
            for _ in 0..2 {
                sum += inside.next().expect("not closed");
                inside.done();
            }
            sum
        });
        // Refused as long as the thread is busy with the first one or has yet to take it.
        while backlog.push(2, 1, 0).is_err() {
            loom::thread::yield_now();
        }
        assert_eq!(thread.join().unwrap(), 3);
    });
}

/// What is written before a flag is raised is seen by the shard, although only one of the threads
/// that raise it pushes: whoever finds it raised relies on who has.
#[test]
fn a_flag_that_is_raised_already_still_brings_what_was_written() {
    loom::model(|| {
        let shard = Arc::new((Raised::new(), Woken::new(), AtomicUsize::new(0)));
        let wake = |shard: Arc<(Raised, Woken<u8>, AtomicUsize)>| {
            thread::spawn(move || {
                shard.2.fetch_add(1, Ordering::Relaxed);
                if shard.0.raise() {
                    shard.1.push(7).expect("open");
                }
            })
        };
        let waking = [wake(Arc::clone(&shard)), wake(Arc::clone(&shard))];
        let look = || {
            let woken = shard.1.take();
            assert!(woken.len() <= 1, "it stands there once");
            woken.first().map(|_| {
                shard.0.lower();
                shard.2.load(Ordering::Relaxed)
            })
        };
        let first = look();
        waking.into_iter().for_each(|thread| thread.join().unwrap());
        // The last look saw all, or there is another one to come.
        assert_eq!(
            look().or(first),
            Some(2),
            "woken for the last time too early"
        );
    });
}
