//! Calls from shard to shard and from threads that are none, and services that live on all shards.
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]

use std::future::{Future, Ready, ready};
use std::ops::ControlFlow::{Break, Continue};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use sunstar::future::when_all;
use sunstar::runtime::{
    Alien, CallError, Config, Foreign, Placement, alien, current_shard, run_on, run_on_all_shards,
    spawn, yield_now,
};
use sunstar::sharded::{CallUnits, Services, Stop};
use sunstar::sync::{Entered, Gate, oneshot};
use sunstar::{ShardId, Sharded};

fn run<R, F>(count: usize, main: impl Fn(ShardId) -> F + Send + Sync + 'static) -> Vec<R>
where
    R: Send + 'static,
    F: Future<Output = R> + 'static,
{
    run_on_all_shards(&Config::new(Placement::unpinned(count)), main).unwrap()
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// What a shard of [`with_outsider`] has: it ends when nobody is inside any more.
struct Door(Option<Entered>);

/// Runs `count` shards until `outsider`, on a thread that is none, has returned.
fn with_outsider<R: Send + 'static>(
    count: usize,
    outsider: impl FnOnce(&Alien) -> R + Send + 'static,
) -> R {
    let (tell, told) = mpsc::channel::<(Alien, Sharded<Door>)>();
    let thread = thread::spawn(move || {
        let (alien, doors) = told.recv().unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| outsider(&alien)));
        for index in 0..alien.shard_count() {
            let shard = alien.shard(index).unwrap();
            let open = move || doors.local(|door| drop(door.0.take()));
            alien.call(shard, open).wait().unwrap();
        }
        result
    });
    run(count, move |shard| {
        let tell = tell.clone();
        async move {
            let gate = Gate::new();
            let doors = Sharded::start(Door(gate.enter().ok()));
            doors.on_all(|_| ()).await;
            if shard == ShardId::ZERO {
                tell.send((alien(), doors)).unwrap();
            }
            gate.close().await;
        }
    });
    let result = thread.join().unwrap();
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[test]
fn any_thread_calls_a_shard_and_waits_for_its_answer() {
    let sums = with_outsider(2, |alien| {
        let call = |n: usize| {
            let alien = alien.clone();
            thread::spawn(move || {
                let shard = alien.shard(n % 2).unwrap();
                let there = move || (current_shard() == shard, n);
                alien.call(shard, there).wait().unwrap()
            })
        };
        let threads: Vec<_> = (0..16).map(call).collect();
        threads
            .into_iter()
            .map(|it| it.join().unwrap())
            .collect::<Vec<_>>()
    });
    let expected: Vec<_> = (0..16).map(|n| (true, n)).collect();
    assert_eq!(sums, expected);
}

#[test]
fn another_runtime_awaits_a_shard_and_what_runs_there_may_wait() {
    let answers = with_outsider(1, |alien| {
        let alien = alien.clone();
        run(2, move |shard| {
            let alien = alien.clone();
            async move {
                let run = alien.run(ShardId::ZERO, move || async move {
                    // Not `Send`, and it never leaves.
                    let number = std::rc::Rc::new(shard.index());
                    yield_now().await;
                    *number + 10
                });
                run.await
            }
        })
    });
    assert_eq!(answers, [Ok(10), Ok(11)]);
}

#[test]
fn a_call_whose_answer_nobody_wants_is_made_all_the_same() {
    let seen = with_outsider(1, |alien| {
        let (tell, told) = mpsc::channel();
        let told_too = tell.clone();
        drop(alien.call(ShardId::ZERO, move || tell.send(1)));
        drop(alien.run(ShardId::ZERO, move || async move {
            yield_now().await;
            told_too.send(2)
        }));
        told.iter().sum::<i32>()
    });
    assert_eq!(seen, 3);
}

#[test]
fn a_panic_in_a_call_goes_on_in_the_caller_and_the_shard_lives() {
    let (first, second, after) = with_outsider(1, |alien| {
        let call = alien.call(ShardId::ZERO, || panic!("planned: by a call"));
        let first = catch_unwind(AssertUnwindSafe(|| call.wait()));
        let run = alien.run(ShardId::ZERO, || async { panic!("planned: by a task") });
        let second = catch_unwind(AssertUnwindSafe(|| run.wait()));
        let text = |caught: Result<Result<(), CallError>, Box<dyn std::any::Any + Send>>| {
            *caught.unwrap_err().downcast::<&str>().unwrap()
        };
        let after = alien.call(ShardId::ZERO, || 7).wait();
        (text(first), text(second), after)
    });
    assert_eq!(
        (first, second),
        ("planned: by a call", "planned: by a task")
    );
    assert_eq!(after, Ok(7));
}

#[test]
fn one_call_more_than_allowed_is_refused_and_says_what_to_change() {
    with_outsider(1, |alien| {
        let few = alien.clone().with_calls_max(2);
        let never = || few.run(ShardId::ZERO, std::future::pending::<()>);
        let (one, other) = (never(), never());
        let error = few.call(ShardId::ZERO, || ()).wait().unwrap_err();
        let full = CallError::Full {
            shard: ShardId::ZERO,
            calls_max: 2,
        };
        assert_eq!(error, full);
        assert!(
            error.to_string().contains("`Alien::with_calls_max`"),
            "{error}"
        );
        assert_eq!(
            alien.call(ShardId::ZERO, || 1).wait(),
            Ok(1),
            "a handle with more room"
        );
        drop((one, other));
    });
    with_outsider(1, |alien| {
        let one = alien.clone().with_calls_max(1);
        for n in 0..100 {
            assert_eq!(
                one.call(ShardId::ZERO, move || n).wait(),
                Ok(n),
                "each gives its place back"
            );
        }
    });
}

#[test]
fn whoever_calls_a_shard_that_has_ended_is_told_so() {
    let (tell, told) = mpsc::channel();
    run(1, move |_| {
        let tell = tell.clone();
        async move {
            let alien = alien();
            let waits = alien.run(ShardId::ZERO, std::future::pending::<()>);
            tell.send((alien, waits)).unwrap();
            yield_now().await;
        }
    });
    let (alien, waits) = told.recv().unwrap();
    let shard = ShardId::ZERO;
    assert_eq!(waits.wait(), Err(CallError::Ended { shard }));
    assert_eq!(
        alien.call(shard, || ()).wait(),
        Err(CallError::Ended { shard })
    );
    let error = CallError::Ended { shard }.to_string();
    assert_eq!(error, "shard 0 has ended");
}

#[test]
#[should_panic(expected = "a shard must not block")]
fn a_shard_may_not_block_on_another_one() {
    run(1, |shard| async move { alien().call(shard, || ()).wait() });
}

/// Tells where it was dropped.
struct Tells(mpsc::Sender<(ThreadId, usize)>, usize);

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.0.send((thread::current().id(), self.1));
    }
}

#[test]
fn what_has_crossed_is_dropped_where_it_was_made() {
    let (tell, dropped) = mpsc::channel();
    let homes = with_outsider(2, move |alien| {
        let mut homes = Vec::new();
        for index in 0..2 {
            let (home, away) = (alien.shard(index).unwrap(), alien.shard(1 - index).unwrap());
            let (tell, here) = (tell.clone(), move || thread::current().id());
            homes.push(alien.call(home, here).wait().unwrap());
            let make = move |number| {
                let tells = Tells(tell.clone(), number);
                move || Foreign::new(tells)
            };
            // On this thread, on the other shard, at home.
            drop(alien.call(home, make(1)).wait().unwrap());
            let taken = make(2);
            alien
                .run(away, move || async move {
                    drop(run_on(home, || async { taken() }).await);
                })
                .wait()
                .unwrap();
            let made = make(3);
            alien.call(home, move || drop(made())).wait().unwrap();
        }
        homes
    });
    let mut seen: Vec<_> = dropped.iter().collect();
    let mut expected: Vec<_> = homes
        .iter()
        .flat_map(|home| (1..4).map(|n| (*home, n)))
        .collect();
    let key = |(thread, number): &(ThreadId, usize)| (format!("{thread:?}"), *number);
    seen.sort_by_key(key);
    expected.sort_by_key(key);
    assert_eq!(seen, expected);
}

#[test]
fn what_outlives_its_shard_is_dropped_where_it_is() {
    let (tell, dropped) = mpsc::channel();
    let left = run(1, move |_| {
        let tells = Tells(tell.clone(), 1);
        async move { Foreign::new(tells) }
    });
    assert_eq!(left[0].home(), ShardId::ZERO);
    drop(left);
    assert_eq!(dropped.recv().unwrap(), (thread::current().id(), 1));
}

#[test]
fn a_range_of_shards_is_asked_and_no_other_one() {
    let asked = run(4, |shard| async move {
        let parts = Sharded::start(shard.index());
        let middle = parts.on_range(1..3, |index| *index).await;
        let (last, none) = (
            parts.on_range(3..=3, |i| *i).await,
            parts.on_range(..0, |i| *i).await,
        );
        (
            middle,
            last,
            none.len(),
            parts.on_range(.., |_| ()).await.len(),
        )
    });
    assert_eq!(asked, vec![(vec![1, 2], vec![3], 0, 4); 4]);
}

#[test]
#[should_panic(expected = "shards up to 3: there are 2")]
fn a_range_beyond_the_last_shard_is_refused() {
    run(2, |shard| async move {
        let parts = Sharded::start(shard);
        parts.on_range(0..=2, |_| ()).await;
    });
}

#[test]
fn a_reduction_that_breaks_waits_for_nobody_else() {
    let ended = run(3, |shard| async move {
        let go = Sharded::start(Vec::new());
        if shard.index() == 2 {
            // Its part starts only when the first shard has its result without it.
            while go.local(|told: &mut Vec<bool>| told.is_empty()) {
                yield_now().await;
            }
            Sharded::start(2_usize);
            return true;
        }
        let parts = Sharded::start(shard.index());
        if shard.index() == 1 {
            return true;
        }
        let found = parts.map_reduce_until(
            |index| *index,
            |a, b| match a + b {
                1 => Break("both"),
                sum => Continue(sum),
            },
        );
        let found = found.await;
        go.on(ShardId::new(2).unwrap(), |told| told.push(true))
            .await;
        let all = parts
            .map_reduce_until(|index| *index, |a, b| Continue::<(), _>(a + b))
            .await;
        found == Break("both") && all == Continue(3)
    });
    assert_eq!(ended, [true; 3]);
}

/// A part of a service that tells when it starts and stops.
struct Part<const NAME: char> {
    tell: mpsc::Sender<String>,
    shard: ShardId,
    peers: Sharded<Part<NAME>>,
}

/// What starts a part on a shard.
trait Make<T>: Fn(ShardId, Sharded<T>) -> Ready<Result<T, String>> + Clone {}

impl<T, F: Fn(ShardId, Sharded<T>) -> Ready<Result<T, String>> + Clone> Make<T> for F {}

impl<const NAME: char> Part<NAME> {
    fn make(tell: &mpsc::Sender<String>) -> impl Make<Self> + Send + use<NAME> {
        let tell = tell.clone();
        move |shard, peers| {
            let tell = tell.clone();
            ready(Ok(Part { tell, shard, peers }))
        }
    }
}

impl<const NAME: char> Stop for Part<NAME> {
    async fn stop(self) {
        yield_now().await;
        self.tell.send(format!("{NAME}{}", self.shard)).unwrap();
    }
}

#[test]
fn services_stop_in_the_opposite_order_each_on_every_shard_before_the_next() {
    let (tell, told) = mpsc::channel();
    run(3, move |shard| {
        let tell = tell.clone();
        async move {
            if shard != ShardId::ZERO {
                return;
            }
            let mut services = Services::new();
            services.start(Part::<'a'>::make(&tell)).await.unwrap();
            services.start(Part::<'b'>::make(&tell)).await.unwrap();
            services.stop().await;
        }
    });
    let told: Vec<_> = told.iter().collect();
    let (first, last) = told.split_at(3);
    let sorted = |part: &[String]| {
        let mut part = part.to_vec();
        part.sort();
        part
    };
    assert_eq!(sorted(first), ["b0", "b1", "b2"]);
    assert_eq!(sorted(last), ["a0", "a1", "a2"]);
}

#[test]
fn when_one_shard_fails_to_start_the_others_are_stopped() {
    let (tell, told) = mpsc::channel();
    let errors = run(3, move |shard| {
        let tell = tell.clone();
        async move {
            if shard != ShardId::ZERO {
                return None;
            }
            let make = Part::<'c'>::make(&tell);
            let some = move |shard: ShardId, peers| {
                let part = make(shard, peers);
                async move {
                    match shard.index() {
                        1 => Err("no disk".to_owned()),
                        _ => part.await,
                    }
                }
            };
            let failed = Sharded::start_on_all(some).await.err();
            // It can be started again.
            let parts = Sharded::start_on_all(Part::<'c'>::make(&tell))
                .await
                .unwrap();
            let peers = parts.map(|part| part.peers).await;
            let asked = when_all(
                peers
                    .iter()
                    .map(|it| it.on(ShardId::ZERO, |part| part.shard)),
            );
            assert_eq!(asked.await, [ShardId::ZERO; 3], "each has found its peers");
            parts.stop().await;
            failed
        }
    });
    assert_eq!(errors[0].as_deref(), Some("no disk"));
    let mut told: Vec<_> = told.iter().collect();
    told[..2].sort();
    assert_eq!(
        (told.len(), &told[..2]),
        (5, &["c0".into(), "c2".into()][..])
    );
}

#[test]
#[should_panic(expected = "of this shard was stopped")]
fn whoever_asks_for_what_was_stopped_is_told_so() {
    let (tell, _told) = mpsc::channel();
    run(2, move |shard| {
        let tell = tell.clone();
        async move {
            if shard == ShardId::ZERO {
                let parts = Sharded::start_on_all(Part::<'d'>::make(&tell))
                    .await
                    .unwrap();
                parts.stop().await;
                parts.on(ShardId::new(1).unwrap(), |part| part.shard).await;
            }
        }
    });
}

#[test]
fn no_more_calls_are_away_than_there_are_units_and_those_given_up_count() {
    let units = CallUnits::new(2);
    let ran = run(2, move |shard| async move {
        let parts = Sharded::start(0_u32).with_units(units);
        let other = ShardId::new(1 - shard.index()).unwrap();
        parts.on(other, |_| ()).await;
        let call = || Box::pin(parts.on(other, |count| *count += 1));
        assert_eq!((units.available(other), units.available(shard)), (2, 2));
        let mut calls = [call(), call(), call()];
        for call in &mut calls {
            assert!(poll_once(call.as_mut()).is_pending());
        }
        assert_eq!(units.available(other), 0);
        let [one, two, mut three] = calls;
        drop((one, two));
        assert!(poll_once(three.as_mut()).is_pending());
        assert_eq!(
            units.available(other),
            0,
            "away, though nobody waits for it"
        );
        three.await;
        while units.available(other) < 2 {
            yield_now().await;
        }
        // Another kind, and none at all, are not held up.
        let held = when_all((0..50).map(|_| parts.on(other, |count| *count += 1)));
        let free = Sharded::<u32>::with_units(parts, CallUnits::new(1));
        when_all((0..50).map(|_| free.on(other, |count| *count += 1))).await;
        held.await;
        while parts.local(|count| *count) < 103 {
            yield_now().await;
        }
        parts.local(|count| *count)
    });
    assert_eq!(ran, [103; 2]);
}

#[test]
#[should_panic(expected = "at least one unit")]
fn a_kind_of_call_without_units_is_refused() {
    let _ = CallUnits::new(0);
}

#[test]
fn what_was_begun_on_another_shard_goes_on_when_nobody_waits_for_it() {
    let done = run(2, |shard| async move {
        let ends = Sharded::start(None);
        if shard == ShardId::ZERO {
            let other = ShardId::new(1).unwrap();
            ends.on(other, |_| ()).await;
            let mut run = pin!(Some(Box::pin(run_on(other, move || async move {
                let (reply, awaiting) = oneshot();
                spawn(async move { reply.send(()) }).detach();
                awaiting.await.unwrap();
                ends.local(|end| *end = Some(7));
            }))));
            let task = run.as_mut().get_mut();
            assert!(poll_once(task.as_mut().unwrap().as_mut()).is_pending());
            *task = None;
            return 7;
        }
        while ends.local(|end| end.is_none()) {
            yield_now().await;
        }
        ends.local(|end| end.take().unwrap())
    });
    assert_eq!(done, [7, 7]);
}
