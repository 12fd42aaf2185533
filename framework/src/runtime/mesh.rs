//! [`Mesh`]: the queues between one shard and all others.
//!
//! For every ordered pair of shards there is one single-producer queue of 128 places. A message is
//! an [`Errand`]: a box that travels to the other shard, is run there, and travels back with its
//! result. What must hold: behind the messages of one turn one doorbell is rung, also where some
//! have left before its end; at most `CALLS_MAX` errands of a pair are away, and a caller beyond
//! that waits; an errand whose caller has gone still runs and comes back.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use rtrb::{Consumer, Producer, RingBuffer};
use slab::Slab;

use super::current;
use super::placement::ShardId;
use super::task::drop_quietly;
use super::wakee::Wakee;
use crate::mem::prefetch;

/// Messages that a queue between two shards holds.
const QUEUE_LEN: usize = 128;
/// So many messages leave together before a turn is over: then the other shard, if it is awake, has
/// something to do at the same time.
const EARLY: usize = 16;
/// Errands of one pair of shards that may be away at once.
const CALLS_MAX: usize = 1024;

/// Work for another shard, which keeps its own result until it is back.
trait Errand: Send {
    fn run(&mut self);
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// A message on its way.
struct Message {
    call: u32,
    /// Whether it was run; else it is to be, and to be sent back.
    was_run: bool,
    errand: Box<dyn Errand>,
}

/// The caller's end of an errand.
enum Call {
    Away(Option<Wakee>),
    Back(Box<dyn Errand>),
    /// The caller has gone; whatever comes back is dropped.
    Abandoned,
}

/// The two queues to and from one other shard.
struct Link {
    to: Producer<Message>,
    from: Consumer<Message>,
    /// Messages of this turn, and those that found the queue full.
    outbox: VecDeque<Message>,
    /// How many have left since the doorbell was rung.
    unrung: usize,
    calls: Slab<Call>,
    /// Callers that wait for an errand to come back before they may send theirs, by ticket.
    waiting: BTreeMap<u64, Wakee>,
    next_ticket: u64,
}

/// One shard's ends of all queues, by shard, on their way to its thread; `None` at its own place.
pub(crate) struct Ends(Vec<Option<End>>);

/// The ends of the queues to and from one other shard.
struct End {
    to: Producer<Message>,
    from: Consumer<Message>,
}

/// Makes the queues between `count` shards, and gives each its ends.
pub(crate) fn connect(count: usize) -> Vec<Ends> {
    let mut ends: Vec<Vec<(Option<_>, Option<_>)>> = (0..count)
        .map(|_| (0..count).map(|_| (None, None)).collect())
        .collect();
    let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
    for (from, to) in pairs.filter(|(from, to)| from != to) {
        let (producer, consumer) = RingBuffer::new(QUEUE_LEN);
        ends[from][to].0 = Some(producer);
        ends[to][from].1 = Some(consumer);
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
    inbox: Cell<Vec<Message>>,
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
            let (outbox, calls, waiting) = (VecDeque::new(), Slab::new(), BTreeMap::new());
            Some(Link {
                to,
                from,
                outbox,
                unrung: 0,
                calls,
                waiting,
                next_ticket: 0,
            })
        };
        let links = ends.0.into_iter().map(link).collect();
        Mesh {
            links: RefCell::new(links),
            inbox: Cell::default(),
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

    /// Runs what has come from other shards, at most one queue's worth from each.
    pub(crate) fn receive(&self) {
        let count = self.links.borrow().len();
        let mut inbox = self.inbox.take();
        for from in 0..count {
            if let Some(link) = &mut self.links.borrow_mut()[from] {
                link.take_in(&mut inbox);
            }
            if !inbox.is_empty() {
                self.count(|counts| counts.received += inbox.len() as u64);
                inbox
                    .drain(..)
                    .for_each(|message| self.accept(from, message));
            }
        }
        self.inbox.set(inbox);
    }

    fn accept(&self, from: usize, message: Message) {
        if message.was_run {
            if let Some(unwanted) = self.come_back(from, message.call, message.errand) {
                drop_quietly(unwanted);
            }
            return;
        }
        let mut message = message;
        // No borrow is held here: the errand may send errands of its own.
        message.errand.run();
        message.was_run = true;
        let mut links = self.links.borrow_mut();
        let link = links[from].as_mut().expect("it came through this link");
        link.post(message);
    }

    /// Notes that an errand is back; returns it when its caller has gone, to be dropped outside.
    fn come_back(
        &self,
        from: usize,
        call: u32,
        errand: Box<dyn Errand>,
    ) -> Option<Box<dyn Errand>> {
        let mut links = self.links.borrow_mut();
        let link = links[from].as_mut().expect("it came through this link");
        let place = &mut link.calls[call as usize];
        if let Call::Away(waker) = place {
            let waker = waker.take();
            *place = Call::Back(errand);
            drop(links);
            waker.into_iter().for_each(Wakee::wake);
            return None;
        }
        link.calls.remove(call as usize);
        let next = link.next_caller();
        drop(links);
        next.into_iter().for_each(Wakee::wake);
        Some(errand)
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

    /// Runs `f` on `shard` in the scope of that shard, and gives back what it returns.
    ///
    /// # Panics
    /// If there is no such shard, or it is the calling one: there `f` can be called directly.
    pub(crate) fn call<F, R>(shard: ShardId, f: F) -> Away<F, R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let job = Job {
            f: Some(f),
            result: None,
        };
        Away {
            shard: shard.index(),
            state: State::New(Box::new(job)),
            shard_local: PhantomData,
        }
    }

    /// Queues an errand; gives it back with a ticket when too many are away.
    ///
    /// `before` is the ticket of an earlier refusal. While it is in the queue the caller only
    /// changes its waker; once it was called up it may send.
    fn try_send(
        &self,
        shard: usize,
        errand: Box<dyn Errand>,
        before: Option<u64>,
        waker: &Waker,
    ) -> Result<u32, (Box<dyn Errand>, u64)> {
        let mut links = self.links.borrow_mut();
        let link = links[shard].as_mut().expect("a call goes to another shard");
        let queued = before.filter(|ticket| link.waiting.contains_key(ticket));
        if queued.is_some() || link.calls.len() >= CALLS_MAX {
            let ticket = queued.unwrap_or(link.next_ticket);
            link.next_ticket += u64::from(queued.is_none());
            let before = link.waiting.insert(ticket, Wakee::of(waker));
            drop(links);
            drop(before);
            return Err((errand, ticket));
        }
        let call = link.calls.insert(Call::Away(Some(Wakee::of(waker))));
        let call = u32::try_from(call).expect("at most CALLS_MAX");
        link.post(Message {
            call,
            was_run: false,
            errand,
        });
        Ok(call)
    }

    /// A caller that was refused has gone: its place in the queue, or its turn, is the next one's.
    fn give_up(&self, shard: usize, ticket: u64) {
        let mut links = self.links.borrow_mut();
        let link = links[shard].as_mut().expect("a call goes to another shard");
        let own = link.waiting.remove(&ticket);
        let next = if own.is_none() {
            link.next_caller()
        } else {
            None
        };
        drop(links);
        drop(own);
        next.into_iter().for_each(Wakee::wake);
    }

    /// Takes an errand that is back, or remembers who waits for it.
    fn poll_back(&self, shard: usize, call: u32, waker: &Waker) -> Poll<Box<dyn Errand>> {
        let mut links = self.links.borrow_mut();
        let link = links[shard].as_mut().expect("a call goes to another shard");
        let place = &mut link.calls[call as usize];
        if let Call::Away(place) = place {
            let before = place.replace(Wakee::of(waker));
            drop(links);
            drop(before);
            return Poll::Pending;
        }
        let Call::Back(errand) = link.calls.remove(call as usize) else {
            unreachable!("only a dropped caller abandons its call")
        };
        let next = link.next_caller();
        drop(links);
        next.into_iter().for_each(Wakee::wake);
        Poll::Ready(errand)
    }

    fn abandon(&self, shard: usize, call: u32) {
        let mut links = self.links.borrow_mut();
        let link = links[shard].as_mut().expect("a call goes to another shard");
        let before = std::mem::replace(&mut link.calls[call as usize], Call::Abandoned);
        let mut next = None;
        if let Call::Back(_) = before {
            link.calls.remove(call as usize);
            next = link.next_caller();
        }
        drop(links);
        // First the next one: what has come back may panic when it is dropped.
        next.into_iter().for_each(Wakee::wake);
        drop(before);
    }
}

impl Link {
    /// Adds a message to those of this turn.
    #[inline]
    fn post(&mut self, message: Message) {
        self.outbox.push_back(message);
        if self.outbox.len().is_multiple_of(EARLY) {
            self.flush();
        }
    }

    /// Moves the outbox into the queue, as far as there is room.
    fn flush(&mut self) {
        let count = self.outbox.len().min(self.to.slots());
        // All of them together: each store to the queue's end takes that from the other shard.
        if let Ok(places) = self.to.write_chunk_uninit(count) {
            self.unrung += places.fill_from_iter(self.outbox.drain(..count));
        }
    }

    /// Moves what has come in into `inbox`.
    fn take_in(&mut self, inbox: &mut Vec<Message>) {
        let Ok(messages) = self.from.read_chunk(self.from.slots()) else {
            return;
        };
        for message in messages {
            // What is in it comes from the other shard's cache, which takes longer than to accept
            // the messages before it.
            prefetch(&*message.errand);
            inbox.push(message);
        }
    }

    /// A place has become free: the caller that has waited longest is to be woken, when the links
    /// are not borrowed, since that may run code of the user's.
    fn next_caller(&mut self) -> Option<Wakee> {
        self.waiting.pop_first().map(|(_, waker)| waker)
    }
}

/// A closure and, once it has run, what it returned or how it panicked.
struct Job<F, R> {
    f: Option<F>,
    result: Option<std::thread::Result<R>>,
}

impl<F, R> Errand for Job<F, R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    fn run(&mut self) {
        let f = self.f.take().expect("an errand runs once");
        self.result = Some(catch_unwind(AssertUnwindSafe(f)));
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

enum State<F, R> {
    New(Box<Job<F, R>>),
    Refused(Box<dyn Errand>, u64),
    Sent(u32),
    Done,
}

/// The future of a call to another shard.
///
/// # Cancel safety
/// Dropped before its first poll nothing happens; later the closure runs all the same and its
/// result is dropped on this shard.
pub(crate) struct Away<F, R> {
    shard: usize,
    state: State<F, R>,
    /// The call's place belongs to a shard, so this may not leave it.
    shard_local: PhantomData<*const R>,
}

impl<F, R> Unpin for Away<F, R> {}

impl<F, R> Future for Away<F, R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    type Output = R;

    /// # Panics
    /// If the closure has panicked on the other shard: the panic goes on here.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        let shard = self.shard;
        let (errand, before): (Box<dyn Errand>, _) =
            match std::mem::replace(&mut self.state, State::Done) {
                State::New(job) => (job, None),
                State::Refused(errand, ticket) => (errand, Some(ticket)),
                State::Sent(call) => return self.poll_sent(call, context),
                State::Done => panic!("a call was polled after it had ended"),
            };
        let waker = context.waker();
        let sent = current::with(|here| here.mesh.try_send(shard, errand, before, waker));
        self.state = match sent {
            Ok(call) => State::Sent(call),
            Err((errand, ticket)) => State::Refused(errand, ticket),
        };
        Poll::Pending
    }
}

impl<F, R> Away<F, R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    fn poll_sent(&mut self, call: u32, context: &mut Context<'_>) -> Poll<R> {
        let shard = self.shard;
        let back = current::with(|here| here.mesh.poll_back(shard, call, context.waker()));
        let Poll::Ready(errand) = back else {
            self.state = State::Sent(call);
            return Poll::Pending;
        };
        let job = errand
            .into_any()
            .downcast::<Job<F, R>>()
            .expect("it is the box that was sent");
        match job.result.expect("it has run") {
            Ok(result) => Poll::Ready(result),
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl<F, R> Drop for Away<F, R> {
    fn drop(&mut self) {
        let shard = self.shard;
        current::try_with(|here| match (here, &self.state) {
            (Some(here), State::Sent(call)) => here.mesh.abandon(shard, *call),
            (Some(here), State::Refused(_, ticket)) => here.mesh.give_up(shard, *ticket),
            _ => {}
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The meshes of two shards.
    fn pair() -> [Mesh; 2] {
        let meshes: Vec<Mesh> = connect(2).into_iter().map(Mesh::new).collect();
        meshes.try_into().ok().expect("two shards")
    }

    /// Has the first shard ask something of the second one so many times.
    fn ask(mesh: &Mesh, count: usize) {
        for _ in 0..count {
            let job = Job {
                f: Some(|| ()),
                result: None,
            };
            let sent = mesh.try_send(1, Box::new(job), None, Waker::noop());
            assert!(sent.is_ok());
        }
    }

    /// Ends a turn. Tells whose doorbells were rung.
    fn end_turn(mesh: &Mesh) -> Vec<usize> {
        let mut rung = Vec::new();
        mesh.send(|to| {
            rung.push(to);
            true
        });
        rung
    }

    #[test]
    fn a_few_messages_leave_with_the_end_of_the_turn_and_more_before() {
        let [first, second] = pair();
        ask(&first, EARLY - 1);
        assert!(!second.is_ready());
        ask(&first, 1);
        assert!(second.is_ready());
        // They have all gone, and nobody knows yet.
        assert!(first.stats().queued == 0 && first.is_congested());
        assert_eq!(end_turn(&first), [1]);
        assert!(!first.is_congested());
        assert!(end_turn(&first).is_empty());
        let stats = first.stats();
        assert_eq!((stats.sent, stats.batches), (EARLY as u64, 1));
        assert_eq!(stats.doorbells, 1);

        // The answers do the same.
        second.receive();
        assert!(first.is_ready());
        assert_eq!(end_turn(&second), [0]);
        first.receive();
        let received = [&first, &second].map(|mesh| mesh.stats().received);
        assert_eq!(received, [EARLY as u64; 2]);
    }

    struct PanicsInDrop;

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    #[test]
    fn a_result_that_nobody_wants_harms_nobody_when_it_is_dropped() {
        let [first, second] = pair();
        let job = Job {
            f: Some(|| PanicsInDrop),
            result: None,
        };
        let sent = first.try_send(1, Box::new(job), None, Waker::noop());
        first.abandon(1, sent.ok().unwrap());
        ask(&first, 2);
        end_turn(&first);
        second.receive();
        end_turn(&second);
        first.receive();
        assert_eq!(first.stats().received, 3);
        // The others have come back behind it.
        for call in [1, 2] {
            assert!(first.poll_back(1, call, Waker::noop()).is_ready());
        }
        assert_eq!(first.stats().calls, 0);
    }

    #[test]
    fn what_finds_the_queue_full_follows_in_its_order() {
        let [first, second] = pair();
        let (note, order) = std::sync::mpsc::channel();
        let count = QUEUE_LEN + EARLY + 1;
        for index in 0..count {
            let note = note.clone();
            let job = Job {
                f: Some(move || note.send(index).unwrap()),
                result: None,
            };
            let sent = first.try_send(1, Box::new(job), None, Waker::noop());
            assert!(sent.is_ok());
        }
        assert_eq!(end_turn(&first), [1]);
        let stats = first.stats();
        assert_eq!((stats.sent, stats.full), (QUEUE_LEN as u64, 1));
        assert_eq!(stats.queued, EARLY + 1);
        assert!(first.is_congested());
        second.receive();
        assert_eq!(end_turn(&first), [1]);
        second.receive();
        assert!(!first.is_congested());
        assert!(order.try_iter().eq(0..count));
    }
}
