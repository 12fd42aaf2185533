//! The reactor: one turn of a shard, as a step that returns what to wait for.
//!
//! A turn reaps completions, fires timers, runs messages and tasks, and sends messages. It never
//! blocks: who waits is the driver (here), a simulator (by moving its clock) or a host runtime. A
//! watcher sees how long a turn lasts (`stall`). There is one system call per turn at most, the
//! driver's `enter`, which also starts what was queued.

use std::time::Duration;

use super::current;
use super::driver::Wait;
use super::hosted::Waiter;
use super::shard::Shard;

/// How long to wait before a full queue to another shard is tried again.
const CONGESTED_WAIT: Duration = Duration::from_micros(50);

/// One turn: does everything that is ready, and tells what to wait for.
pub(super) fn turn(shard: &Shard) -> Wait {
    current::enter(shard, || {
        shard.outside.pulse.beat();
        shard.turns.set(shard.turns.get() + 1);
        shard.clock.advance();
        shard.executor.slice().begin_turn();
        let mut batch = shard.batch.borrow_mut();
        shard
            .io
            .borrow_mut()
            .reap(&shard.outside.bell, &shard.pool, &mut batch);
        drop(batch);
        wake_sockets(shard);
        shard.executor.collect();
        let wake = |slot| shard.executor.wake_here(slot);
        shard.mesh.receive(wake);
        wake_timers(shard);
        shard.executor.run(&shard.clock, &shard.outside.pulse);
        shard.mesh.send(|to| {
            let bell = &shard.all[to].bell;
            let must_ring = bell.must_ring();
            if must_ring {
                shard.io.borrow_mut().driver.ring_bell(bell);
            }
            must_ring
        });
        shard.io.borrow_mut().settle(&mut shard.batch.borrow_mut());
        wake_sockets(shard);
        shard.executor.slice().end_turn();
        shard.outside.pulse.beat();
        wait(shard)
    })
}

/// Wakes those who wait for what has come to sockets. Most turns bring nobody, and are to cost
/// nothing for that.
#[inline]
fn wake_sockets(shard: &Shard) {
    let mut wakers = shard.wakers.borrow_mut();
    if shard.io.borrow_mut().take_wakers(&mut wakers) {
        wakers.release();
    }
}

/// Wakes those whose time has come.
#[inline]
fn wake_timers(shard: &Shard) {
    let mut wakers = shard.wakers.borrow_mut();
    let mut timers = shard.timers.borrow_mut();
    timers.advance(shard.clock.now(), |waker| wakers.due.push(waker));
    drop(timers);
    if !wakers.is_empty() {
        wakers.release();
    }
}

/// Raises the shard's flag before it waits, and tells what to wait for after a second look.
#[inline]
pub(super) fn park(shard: &Shard, wait: Wait) -> Wait {
    shard.outside.bell.park();
    // The second look that `Doorbell` asks for.
    if shard.mesh.is_ready() || shard.outside.woken.is_waiting() {
        Wait::No
    } else {
        wait
    }
}

/// Enters the kernel: starts what the turn has queued and waits as the turn has said.
#[inline]
pub(super) fn enter(shard: &Shard, wait: Wait) {
    if wait == Wait::No {
        return shard.io.borrow_mut().driver.enter(Wait::No);
    }
    let wait = park(shard, wait);
    let now = shard.clock.now();
    shard.io.borrow_mut().driver.enter_at(now, wait);
    shard.outside.bell.unpark();
}

/// As [`enter`], in a task of the runtime that hosts the shard: that waits.
pub(super) async fn enter_host(shard: &Shard, host: &Waiter, wait: Wait) {
    let wait = if wait == Wait::No {
        wait
    } else {
        park(shard, wait)
    };
    shard.io.borrow_mut().driver.enter(wait);
    host.wait(shard, wait).await;
    shard.outside.bell.unpark();
}

fn wait(shard: &Shard) -> Wait {
    if shard.executor.is_ready() {
        return Wait::No;
    }
    let timer = shard.timers.borrow().next_deadline();
    let timer = timer.map(|deadline| deadline.saturating_duration_since(shard.clock.now()));
    let congested = shard.mesh.is_congested().then_some(CONGESTED_WAIT);
    match timer.into_iter().chain(congested).min() {
        None => Wait::Forever,
        Some(Duration::ZERO) => Wait::No,
        Some(timeout) => Wait::AtMost(timeout),
    }
}
