//! The mesh of two shards, without the shards.

use std::cell::OnceCell;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::thread;

use super::*;
use crate::sys::testing::Count;

/// The meshes of two shards.
fn pair() -> [Mesh; 2] {
    let meshes: Vec<Mesh> = connect(2).into_iter().map(Mesh::new).collect();
    meshes.try_into().ok().expect("two shards")
}

/// Has the first shard ask something of the second one so many times.
fn ask(mesh: &Mesh, count: usize) {
    for _ in 0..count {
        let sent = mesh.try_send(1, |letter| letter.put(|| ()), None, Waker::noop());
        assert!(sent.is_ok());
    }
}

/// Here are none.
fn no_task(slot: SlotId) {
    unreachable!("{slot:?} waits for nothing");
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
    second.receive(no_task);
    assert!(first.is_ready());
    assert_eq!(end_turn(&second), [0]);
    first.receive(no_task);
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
    let sent = first.try_send(1, |letter| letter.put(|| PanicsInDrop), None, Waker::noop());
    first.abandon(1, sent.ok().unwrap());
    ask(&first, 2);
    end_turn(&first);
    second.receive(no_task);
    end_turn(&second);
    first.receive(no_task);
    assert_eq!(first.stats().received, 3);
    // The others have come back behind it.
    for call in [1, 2] {
        let back = first.poll_back(1, call, Waker::noop(), Parcel::take::<()>);
        assert!(matches!(back, Poll::Ready(Some(Ok(())))));
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
        let work = move || note.send(index).unwrap();
        let sent = first.try_send(1, |letter| letter.put(work), None, Waker::noop());
        assert!(sent.is_ok());
    }
    assert_eq!(end_turn(&first), [1]);
    let stats = first.stats();
    assert_eq!((stats.sent, stats.full), (QUEUE_LEN as u64, 1));
    assert_eq!(stats.queued, EARLY + 1);
    assert!(first.is_congested());
    second.receive(no_task);
    assert_eq!(end_turn(&first), [1]);
    second.receive(no_task);
    assert!(!first.is_congested());
    assert!(order.try_iter().eq(0..count));
}

/// A caller that asks the second shard something.
#[derive(Default)]
struct Caller {
    count: Arc<Count>,
    ticket: Option<u64>,
}

impl Caller {
    /// Its call's number, or `None` if it has to wait.
    fn tries(&mut self, mesh: &Mesh) -> Option<u16> {
        let waker = Waker::from(Arc::clone(&self.count));
        let sent = mesh.try_send(1, |letter| letter.put(|| ()), self.ticket, &waker);
        self.ticket = sent.err();
        sent.ok()
    }

    fn woken(&self) -> usize {
        self.count.get()
    }
}

/// Brings all calls of the first shard to the second one and back.
fn exchange([first, second]: &[Mesh; 2]) {
    while first.is_congested() || first.stats().received < first.stats().sent {
        end_turn(first);
        second.receive(no_task);
        end_turn(second);
        first.receive(no_task);
    }
}

/// Takes what has come back of a call.
fn take(mesh: &Mesh, call: u16) -> Poll<Option<thread::Result<()>>> {
    mesh.poll_back(1, call, Waker::noop(), Parcel::take::<()>)
}

#[test]
fn so_many_calls_may_be_away_and_whoever_comes_then_waits_in_line() {
    // Each of the ways in which a call ends.
    let taken: fn(&[Mesh; 2]) = |meshes| {
        exchange(meshes);
        assert!(matches!(take(&meshes[0], 7), Poll::Ready(Some(Ok(())))));
    };
    let abandoned_away: fn(&[Mesh; 2]) = |meshes| {
        meshes[0].abandon(1, 7);
        exchange(meshes);
    };
    let abandoned_back: fn(&[Mesh; 2]) = |meshes| {
        exchange(meshes);
        meshes[0].abandon(1, 7);
    };
    for end_one in [taken, abandoned_away, abandoned_back] {
        let meshes = pair();
        let first = &meshes[0];
        ask(first, CALLS_MAX);
        let [mut one, mut other, mut late] = [(); 3].map(|()| Caller::default());
        assert!(one.tries(first).is_none() && other.tries(first).is_none());
        let stats = first.stats();
        assert_eq!((stats.calls, stats.waiting), (1024, 2));

        end_one(&meshes);
        assert_eq!((one.woken(), other.woken()), (1, 0));
        // Nobody is faster than those who wait, nor than who was called up.
        assert!(late.tries(first).is_none() && other.tries(first).is_none());
        assert_eq!(one.tries(first), Some(7));
        assert!(other.tries(first).is_none());
        let stats = first.stats();
        assert_eq!((stats.calls, stats.waiting), (1024, 2));
    }
}

#[test]
fn whoever_gives_up_when_its_turn_has_come_gives_it_to_the_next() {
    let meshes = pair();
    let first = &meshes[0];
    ask(first, CALLS_MAX);
    let mut callers = [(); 3].map(|()| Caller::default());
    for caller in &mut callers {
        assert!(caller.tries(first).is_none());
    }
    // One that is in line only leaves it.
    first.give_up(1, callers[1].ticket.unwrap());
    exchange(&meshes);
    assert!(take(first, 0).is_ready());
    assert_eq!(callers.each_ref().map(Caller::woken), [1, 0, 0]);
    first.give_up(1, callers[0].ticket.unwrap());
    assert_eq!(callers.each_ref().map(Caller::woken), [1, 0, 1]);
    assert!(callers[2].tries(first).is_some());
    // Nobody is left, so the next place is anybody's.
    assert!(take(first, 1).is_ready());
    assert!(Caller::default().tries(first).is_some());
}

#[test]
fn a_number_that_was_abandoned_is_that_of_a_later_call_which_gets_its_answer() {
    let meshes = pair();
    let first = &meshes[0];
    let mut caller = Caller::default();
    assert_eq!(caller.tries(first), Some(0));
    first.abandon(1, 0);
    let mut next = Caller::default();
    assert_eq!(next.tries(first), Some(1), "the first one is away still");
    exchange(&meshes);
    assert_eq!((caller.woken(), next.woken()), (0, 1));
    assert_eq!(caller.tries(first), Some(0));
    exchange(&meshes);
    assert_eq!(caller.woken(), 1);
    assert!(matches!(take(first, 0), Poll::Ready(Some(Ok(())))));
}

/// The place of a task.
fn slot(number: u16) -> SlotId {
    let bits = NonZeroU64::MIN | u64::from(number) << 32;
    SlotId::from_token(bits)
}

#[test]
fn what_is_back_wakes_tasks_at_once_and_the_others_with_what_came_besides() {
    const COUNT: u16 = 100;
    let [first, second] = pair();
    ask(&first, COUNT.into());
    for call in 0..COUNT {
        let mut links = first.links.borrow_mut();
        let link = links[1].as_mut().unwrap();
        link.calls.get(call).caller = Some(Wakee::Task(slot(call)));
    }
    let mut other = Caller::default();
    assert_eq!(other.tries(&first), Some(COUNT));
    first.abandon(1, 5);
    end_turn(&first);
    second.receive(no_task);
    // And a question, which runs when the tasks are awake.
    let woken = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&woken);
    let put = |letter: &mut Parcel| letter.put(move || seen.load(Ordering::Relaxed));
    let question = second.try_send(0, put, None, Waker::noop()).unwrap();
    end_turn(&second);

    let order = RefCell::new(Vec::new());
    first.receive(|slot| {
        woken.fetch_add(1, Ordering::Relaxed);
        order.borrow_mut().push(slot);
    });
    let awake = (0..COUNT).filter(|call| *call != 5).map(slot);
    assert!(order.borrow().iter().copied().eq(awake));
    assert_eq!(other.woken(), 1);
    let stats = first.stats();
    assert_eq!((stats.received, stats.calls), (102, 100));
    end_turn(&first);
    second.receive(no_task);
    let seen = second.poll_back(0, question, Waker::noop(), Parcel::take::<usize>);
    assert!(matches!(seen, Poll::Ready(Some(Ok(99)))));

    // Each of them ends once: one whose task goes now, and all others.
    first.abandon(1, 6);
    let left = (0..=COUNT).filter(|call| ![5, 6].contains(call));
    assert!(left.into_iter().all(|call| take(&first, call).is_ready()));
    assert_eq!(first.stats().calls, 0);
    let links = first.links.borrow();
    let mut free = links[1].as_ref().unwrap().calls.free.clone();
    free.sort_unstable();
    assert!(free.into_iter().eq(0..=COUNT));
}

#[test]
fn letters_are_used_again_and_no_more_kept_than_a_queue_holds() {
    let meshes = pair();
    let first = &meshes[0];
    let kept = || first.links.borrow()[1].as_ref().unwrap().letters.len();
    let ask_and_take = |count: usize| {
        ask(first, count);
        let left = kept();
        exchange(&meshes);
        let count = u16::try_from(count).unwrap();
        assert!((0..count).all(|call| take(first, call).is_ready()));
        left
    };
    ask_and_take(LETTERS_MAX);
    assert_eq!(kept(), LETTERS_MAX);
    assert_eq!(ask_and_take(LETTERS_MAX + 1), 0, "all were used");
    assert_eq!(kept(), LETTERS_MAX, "and one more, which is too many");
}

#[test]
fn what_the_end_finds_on_its_way_is_dropped_each_by_itself() {
    struct Panics(Arc<AtomicUsize>);
    impl Drop for Panics {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("in drop");
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let [first, second] = pair();
    for _ in 0..QUEUE_LEN + 2 {
        let held = Panics(Arc::clone(&drops));
        let put = |letter: &mut Parcel| letter.put(move || drop(held));
        first.try_send(1, put, None, Waker::noop()).unwrap();
    }
    end_turn(&first);
    assert_eq!(first.stats().queued, 2);
    drop(first);
    assert_eq!(drops.load(Ordering::Relaxed), 2);
    drop(second);
    assert_eq!(drops.load(Ordering::Relaxed), QUEUE_LEN + 2);
}

thread_local!(static MESHES: OnceCell<Rc<[Mesh; 2]>> = const { OnceCell::new() });

#[test]
fn a_caller_may_look_at_the_mesh_when_it_is_woken() {
    struct Looks;
    impl Wake for Looks {
        fn wake(self: Arc<Looks>) {
            let asks = |mesh: &Mesh| {
                let sent = mesh.try_send(1, |letter| letter.put(|| ()), None, Waker::noop());
                sent.unwrap_err();
            };
            MESHES.with(|meshes| asks(&meshes.get().unwrap()[0]));
        }
    }
    let meshes = Rc::new(pair());
    let first = &meshes[0];
    MESHES.with(|it| assert!(it.set(Rc::clone(&meshes)).is_ok()));
    let waker = Waker::from(Arc::new(Looks));
    let send = || first.try_send(1, |letter| letter.put(|| ()), None, &waker);
    send().unwrap();
    ask(first, CALLS_MAX - 1);
    send().unwrap_err();
    end_turn(first);
    meshes[1].receive(no_task);
    end_turn(&meshes[1]);
    // The call that was sent, which finds no room for another, and, when that is taken, the one
    // that waits.
    first.receive(no_task);
    assert_eq!(first.stats().waiting, 2);
    assert!(take(first, 0).is_ready());
    let stats = first.stats();
    assert_eq!((stats.calls, stats.waiting), (CALLS_MAX - 1, 2));
}
