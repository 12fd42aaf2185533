//! [`Mesh`]: the queues between one shard and all others.
//!
//! For every ordered pair of shards there is one single-producer queue of 128 places. A message is
//! an errand that travels to the other shard, is run there, and travels back with its result; it
//! stands in a [`Letter`] all the time, and only where that is goes through the queues (ADR 42).
//! What must hold: behind the messages of one turn one doorbell is rung, also where some have left
//! before its end; at most `CALLS_MAX` errands of a pair are away, and callers beyond that wait and
//! are called up in the order in which they came; errands of a pair run in the order in which they
//! were sent, and what comes back together with some is the callers' before these run; an errand
//! whose caller has gone still runs and comes back, unless the shards end before.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::task::{Poll, Waker};

use super::slot::SlotId;
use super::task::drop_quietly;
use super::wakee::Wakee;
use crate::mem::prefetch;
use crate::sys::parcel::Parcel;
use crate::sys::spsc::{Receiver, Sender, channel};

/// Messages that a queue between two shards holds.
const QUEUE_LEN: usize = 128;
/// So many messages leave together before a turn is over: then the other shard, if it is awake, has
/// something to do at the same time.
const EARLY: usize = 16;
/// Errands of one pair of shards that may be away at once.
const CALLS_MAX: usize = 1024;
/// Empty letters that are kept for each other shard: 8 KiB.
const LETTERS_MAX: usize = QUEUE_LEN;

/// Where an errand stands, or its result. Each has a line of the cache to itself, and is used again
/// for a later call.
#[repr(align(64))]
struct Letter(Parcel);

impl Letter {
    /// Out of the way of those that are used again.
    #[cold]
    #[inline(never)]
    fn boxed() -> Box<Letter> {
        Box::new(Letter(Parcel::new()))
    }
}

/// A message that has come in.
struct Message {
    letter: Box<Letter>,
    call: u16,
    /// Whether it was run; else it is to be, and to be sent back. Not in the letter: whose answer
    /// has come back is to be known before its line of the cache is here.
    was_run: bool,
}

impl Message {
    #[inline]
    fn new(letter: Box<Letter>, label: u32) -> Message {
        Message {
            letter,
            call: u16::try_from(label >> 1).expect("it was made of one"),
            was_run: label & 1 == 1,
        }
    }
}

/// All of a message but the letter.
#[inline]
fn label(call: u16, was_run: bool) -> u32 {
    u32::from(call) << 1 | u32::from(was_run)
}

/// The caller's end of a call. In parts that are written one by one: what is put together first and
/// then copied would be read again before it is in memory.
struct Call {
    /// Who waits for it, until it is back.
    caller: Option<Wakee>,
    back: Option<Box<Letter>>,
    /// Otherwise the caller has gone, and whatever comes back is dropped.
    is_wanted: bool,
}

/// The calls of one shard to another one that are away or not yet taken, by number.
struct Calls {
    places: Vec<Call>,
    free: Vec<u16>,
}

impl Calls {
    const NONE: Calls = Calls {
        places: Vec::new(),
        free: Vec::new(),
    };

    fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Adds a call, which nobody waits for yet.
    #[inline]
    fn add(&mut self) -> u16 {
        if let Some(number) = self.free.pop() {
            self.get(number).is_wanted = true;
            return number;
        }
        self.places.push(Call {
            caller: None,
            back: None,
            is_wanted: true,
        });
        u16::try_from(self.places.len() - 1).expect("at most CALLS_MAX")
    }

    #[inline]
    fn get(&mut self, number: u16) -> &mut Call {
        &mut self.places[usize::from(number)]
    }

    /// Takes the task out that waits for this call, if it is a task: so the call is wanted, and the
    /// task is of this shard, since only its own tasks call from it.
    #[inline]
    fn take_task(&mut self, number: u16) -> Option<SlotId> {
        let caller = &mut self.get(number).caller;
        let Some(Wakee::Task(slot)) = *caller else {
            return None;
        };
        *caller = None;
        Some(slot)
    }

    /// Ends a call that is back.
    #[inline]
    fn take_back(&mut self, number: u16) -> Option<Box<Letter>> {
        let letter = self.get(number).back.take()?;
        self.free.push(number);
        Some(letter)
    }
}

/// The two queues to and from one other shard.
struct Link {
    to: Sender<Box<Letter>>,
    from: Receiver<Box<Letter>>,
    /// Messages of this turn, and those that found the queue full.
    outbox: Vec<(Box<Letter>, u32)>,
    /// How many have left since the doorbell was rung.
    unrung: usize,
    calls: Calls,
    /// Empty ones, for the calls to come.
    #[expect(clippy::vec_box, reason = "they stay where they are")]
    letters: Vec<Box<Letter>>,
    /// Callers that wait for an errand to come back before they may send theirs, by ticket.
    waiting: BTreeMap<u64, Wakee>,
    /// How many were called up and have not come yet: so many places are theirs.
    called_up: usize,
    next_ticket: u64,
}

/// One shard's ends of all queues, by shard, on their way to its thread; `None` at its own place.
pub(crate) struct Ends(Vec<Option<End>>);

/// The ends of the queues to and from one other shard.
struct End {
    to: Sender<Box<Letter>>,
    from: Receiver<Box<Letter>>,
}

/// Makes the queues between `count` shards, and gives each its ends.
pub(crate) fn connect(count: usize) -> Vec<Ends> {
    let mut ends: Vec<Vec<(Option<_>, Option<_>)>> = (0..count)
        .map(|_| (0..count).map(|_| (None, None)).collect())
        .collect();
    let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
    for (from, to) in pairs.filter(|(from, to)| from != to) {
        let (sender, receiver) = channel(QUEUE_LEN);
        ends[from][to].0 = Some(sender);
        ends[to][from].1 = Some(receiver);
    }
    let end = |(to, from): (Option<_>, Option<_>)| {
        let (to, from) = to.zip(from)?;
        Some(End { to, from })
    };
    let ends = ends.into_iter();
    ends.map(|ends| Ends(ends.into_iter().map(end).collect()))
        .collect()
}

/// A shard's part of all queues.
pub(crate) struct Mesh {
    /// By shard; `None` at the shard's own place.
    links: RefCell<Vec<Option<Link>>>,
    /// Where messages are that came in together, while they are accepted; empty otherwise.
    inbox: RefCell<Vec<Message>>,
    /// What was counted so far; what is at the moment is looked up when asked for.
    counts: Cell<MeshStats>,
}

/// What a shard has exchanged with the others, and what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeshStats {
    /// Messages sent: calls to others, and answers to theirs.
    pub sent: u64,
    /// Messages that came in.
    pub received: u64,
    /// Batches that they make, which are what is sent to one shard in one turn.
    pub batches: u64,
    /// Doorbells rung: of shards that slept.
    pub doorbells: u64,
    /// Batches that found a queue full, so that a part had to wait.
    pub full: u64,
    /// Messages that wait for room at this moment.
    pub queued: usize,
    /// Calls to other shards that are away.
    pub calls: usize,
    /// Callers that wait until they may send.
    pub waiting: usize,
}

impl Mesh {
    /// Makes the mesh of one shard of its ends.
    pub(crate) fn new(ends: Ends) -> Mesh {
        let link = |end: Option<End>| {
            let End { to, from } = end?;
            Some(Link {
                to,
                from,
                outbox: Vec::new(),
                unrung: 0,
                calls: Calls::NONE,
                letters: Vec::new(),
                waiting: BTreeMap::new(),
                called_up: 0,
                next_ticket: 0,
            })
        };
        let links = ends.0.into_iter().map(link).collect();
        Mesh {
            links: RefCell::new(links),
            inbox: RefCell::default(),
            counts: Cell::default(),
        }
    }

    /// Whether a message has come in.
    pub(crate) fn is_ready(&self) -> bool {
        self.links
            .borrow()
            .iter()
            .flatten()
            .any(|link| !link.from.is_empty())
    }

    /// Whether a queue was full, so that messages must be tried again soon, or some that have left
    /// since are not announced yet.
    pub(crate) fn is_congested(&self) -> bool {
        self.links
            .borrow()
            .iter()
            .flatten()
            .any(|link| !link.outbox.is_empty() || link.unrung > 0)
    }

    /// The books.
    pub(super) fn stats(&self) -> MeshStats {
        let links = self.links.borrow();
        let links = || links.iter().flatten();
        MeshStats {
            queued: links().map(|link| link.outbox.len()).sum(),
            calls: links().map(|link| link.calls.len()).sum(),
            waiting: links().map(|link| link.waiting.len()).sum(),
            ..self.counts.get()
        }
    }

    /// How many messages have come in.
    #[inline]
    pub(super) fn received(&self) -> u64 {
        self.counts.get().received
    }

    fn count(&self, count: impl FnOnce(&mut MeshStats)) {
        let mut counts = self.counts.get();
        count(&mut counts);
        self.counts.set(counts);
    }

    /// Takes in what has come from other shards, at most one queue's worth from each: runs errands,
    /// and gives those that are back to their callers, of which `wake` wakes the tasks.
    #[inline]
    pub(crate) fn receive(&self, wake: impl Fn(SlotId)) {
        let count = self.links.borrow().len();
        let mut inbox = self.inbox.borrow_mut();
        for from in 0..count {
            let mut received = 0;
            if let Some(link) = &mut self.links.borrow_mut()[from] {
                received = link.take_in(&mut inbox, &wake);
            }
            if received > 0 {
                self.count(|counts| counts.received += received);
                inbox
                    .drain(..)
                    .for_each(|message| self.accept(from, message));
            }
        }
    }

    fn accept(&self, from: usize, message: Message) {
        let Message {
            call,
            was_run,
            mut letter,
        } = message;
        if was_run {
            return self.come_back(from, call, letter);
        }
        // No borrow is held here: the errand may send errands of its own.
        letter.0.run();
        let mut links = self.links.borrow_mut();
        let link = links[from].as_mut().expect("it came through this link");
        link.post(letter, label(call, true));
    }

    /// Gives an errand that is back to its caller; drops it when that has gone.
    fn come_back(&self, from: usize, call: u16, letter: Box<Letter>) {
        let mut links = self.links.borrow_mut();
        let link = links[from].as_mut().expect("it came through this link");
        let place = link.calls.get(call);
        if place.is_wanted {
            place.back = Some(letter);
            let caller = place.caller.take();
            drop(links);
            caller.into_iter().for_each(Wakee::wake);
            return;
        }
        link.calls.free.push(call);
        let next = link.next_caller();
        drop(links);
        next.into_iter().for_each(Wakee::wake);
        drop_quietly(letter);
    }

    /// Sends what this turn has queued. Calls `ring` for each shard that has got something; that
    /// tells whether it had to be woken.
    #[inline]
    pub(crate) fn send(&self, mut ring: impl FnMut(usize) -> bool) {
        for (to, link) in self.links.borrow_mut().iter_mut().enumerate() {
            if let Some(link) = link
                && (link.unrung > 0 || !link.outbox.is_empty())
            {
                link.flush();
                let sent = std::mem::take(&mut link.unrung);
                let rung = sent > 0 && ring(to);
                self.count(|counts| {
                    counts.sent += sent as u64;
                    counts.batches += u64::from(sent > 0);
                    counts.full += u64::from(!link.outbox.is_empty());
                    counts.doorbells += u64::from(rung);
                });
            }
        }
    }

    /// Sends work, which `put` puts into a letter, unless too many calls are away: then it gives a
    /// ticket.
    ///
    /// `before` is the ticket of an earlier refusal. While it is in the queue the caller only
    /// changes its waker; once it was called up it may send.
    #[inline]
    pub(super) fn try_send(
        &self,
        shard: usize,
        put: impl FnOnce(&mut Parcel),
        before: Option<u64>,
        waker: &Waker,
    ) -> Result<u16, u64> {
        // Before anything is borrowed: to clone a waker may run code of the user's.
        let wakee = Wakee::task(waker).ok_or_else(|| waker.clone());
        let mut links = self.links.borrow_mut();
        let link = links[shard].as_mut().expect("a call goes to another shard");
        if let Err(ticket) = link.admit(before) {
            let wakee = wakee.map_or_else(Wakee::Other, Wakee::Task);
            let before = link.waiting.insert(ticket, wakee);
            drop(links);
            drop(before);
            return Err(ticket);
        }
        let call = link.calls.add();
        match wakee {
            Ok(slot) => link.calls.get(call).caller = Some(Wakee::Task(slot)),
            Err(waker) => link.calls.get(call).caller = Some(Wakee::Other(waker)),
        }
        let mut letter = link.blank_letter();
        put(&mut letter.0);
        link.post(letter, label(call, false));
        Ok(call)
    }

    /// A caller that was refused has gone: its place in the queue, or its turn, is the next one's.
    pub(super) fn give_up(&self, shard: usize, ticket: u64) {
        let mut links = self.links.borrow_mut();
        let link = links[shard].as_mut().expect("a call goes to another shard");
        let own = link.waiting.remove(&ticket);
        let mut next = None;
        if own.is_none() {
            link.called_up -= 1;
            next = link.next_caller();
        }
        drop(links);
        drop(own);
        next.into_iter().for_each(Wakee::wake);
    }

    /// Has `take` take the result of a call that is back, or remembers who waits for it.
    #[inline]
    pub(super) fn poll_back<T>(
        &self,
        shard: usize,
        call: u16,
        waker: &Waker,
        take: impl FnOnce(&mut Parcel) -> T,
    ) -> Poll<T> {
        let mut links = self.links.borrow_mut();
        let link = links[shard].as_mut().expect("a call goes to another shard");
        let Some(mut letter) = link.calls.take_back(call) else {
            drop(links);
            self.wait_on(shard, call, waker);
            return Poll::Pending;
        };
        let result = take(&mut letter.0);
        link.keep(letter);
        let next = link.next_caller();
        drop(links);
        next.into_iter().for_each(Wakee::wake);
        Poll::Ready(result)
    }

    /// From now on `waker` is to be woken when this call is back.
    #[cold]
    fn wait_on(&self, shard: usize, call: u16, waker: &Waker) {
        // Code of the user's may run with it, and with what was there before.
        let wakee = Wakee::of(waker);
        let mut links = self.links.borrow_mut();
        let link = links[shard].as_mut().expect("a call goes to another shard");
        let before = link.calls.get(call).caller.replace(wakee);
        drop(links);
        drop(before);
    }

    /// Nobody waits for this call any more.
    pub(super) fn abandon(&self, shard: usize, call: u16) {
        let mut links = self.links.borrow_mut();
        let link = links[shard].as_mut().expect("a call goes to another shard");
        let place = link.calls.get(call);
        place.is_wanted = false;
        let caller = place.caller.take();
        let back = link.calls.take_back(call);
        let next = back.as_ref().and_then(|_| link.next_caller());
        drop(links);
        // First the next one: what has come back may panic when it is dropped.
        next.into_iter().for_each(Wakee::wake);
        drop((caller, back));
    }
}

impl Drop for Link {
    /// What the shards end before is dropped, each by itself: it may panic.
    fn drop(&mut self) {
        self.outbox.drain(..).for_each(drop_quietly);
        while let Some((letter, _)) = self.from.receive() {
            drop_quietly(letter);
        }
    }
}

impl Link {
    /// Lets a caller in that has no ticket yet, or this one; otherwise it is to wait with the
    /// ticket that this gives.
    #[inline]
    fn admit(&mut self, ticket: Option<u64>) -> Result<(), u64> {
        let Some(ticket) = ticket else {
            let is_free = self.calls.len() + self.called_up < CALLS_MAX;
            if is_free && self.waiting.is_empty() {
                return Ok(());
            }
            self.next_ticket += 1;
            return Err(self.next_ticket);
        };
        if self.waiting.contains_key(&ticket) {
            return Err(ticket);
        }
        self.called_up -= 1;
        Ok(())
    }

    /// Adds a message to those of this turn.
    #[inline]
    fn post(&mut self, letter: Box<Letter>, label: u32) {
        self.outbox.push((letter, label));
        if self.outbox.len().is_multiple_of(EARLY) {
            self.flush();
        }
    }

    /// Moves the outbox into the queue, as far as there is room.
    fn flush(&mut self) {
        self.unrung += self.to.send(&mut self.outbox);
    }

    /// Takes in at most one queue's worth, and tells how many messages that was: what is back for a
    /// task of this shard, which is all that comes back to most, at once, all else into `inbox`.
    #[inline]
    fn take_in(&mut self, inbox: &mut Vec<Message>, wake: impl Fn(SlotId)) -> u64 {
        for count in 0..QUEUE_LEN as u64 {
            let Some((letter, label)) = self.from.receive() else {
                return count;
            };
            // What is in it comes from the other shard's cache, which takes longer than to accept
            // the messages before it.
            prefetch(&*letter);
            let message = Message::new(letter, label);
            let task = message
                .was_run
                .then(|| self.calls.take_task(message.call))
                .flatten();
            match task {
                Some(slot) => {
                    self.calls.get(message.call).back = Some(message.letter);
                    wake(slot);
                }
                None => inbox.push(message),
            }
        }
        QUEUE_LEN as u64
    }

    #[inline]
    #[expect(clippy::unnecessary_box_returns, reason = "it stays where it is")]
    fn blank_letter(&mut self) -> Box<Letter> {
        let kept = self.letters.pop();
        kept.unwrap_or_else(Letter::boxed)
    }

    /// Takes an empty letter back for a later call, if there are not enough.
    #[inline]
    fn keep(&mut self, letter: Box<Letter>) {
        if self.letters.len() < LETTERS_MAX {
            self.letters.push(letter);
        }
    }

    /// A place has become free: the caller that has waited longest is to be woken, when the links
    /// are not borrowed, since that may run code of the user's.
    fn next_caller(&mut self) -> Option<Wakee> {
        let (_, wakee) = self.waiting.pop_first()?;
        self.called_up += 1;
        Some(wakee)
    }
}

#[cfg(test)]
mod tests;
