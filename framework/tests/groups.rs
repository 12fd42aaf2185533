//! Scheduling groups under a virtual clock: who runs for how long follows from the shares alone.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use sunstar::runtime::{
    self, Config, GROUPS_MAX, Group, Placement, SHARES_MAX, need_preempt, run_on_all_shards,
    yield_if_needed, yield_now,
};
use sunstar::testing::{Simulation, spend};

const US: Duration = Duration::from_micros(1);
const MS: Duration = Duration::from_millis(1);

/// Runs `main` on one simulated shard, seed after seed, and gives back what it has returned.
fn simulated<R, F>(main: impl Fn() -> F + Clone + Send + Sync + 'static) -> Vec<R>
where
    F: Future<Output = R> + 'static,
    R: Send + 'static,
{
    let run = |seed| {
        let main = main.clone();
        let config = Config::new(Placement::unpinned(1));
        let run = move || {
            run_on_all_shards(&config, move |_| main())
                .expect("a simulated shard can start")
                .remove(0)
        };
        Simulation::calm(seed).run(run).0
    };
    (0..5).map(run).collect()
}

/// Computes in steps for ever, and asks after each whether others wait.
async fn hog(step: Duration) {
    loop {
        spend(step);
        yield_if_needed().await;
    }
}

fn run_time(group: Group) -> Duration {
    group.stats().run_time
}

/// How long a group has run since it had run for `before`.
fn since(group: Group, before: Duration) -> Duration {
    run_time(group).saturating_sub(before)
}

/// How much longer one group has run than another, in percent.
fn percent(one: Duration, other: Duration) -> u128 {
    one.as_nanos() * 100 / other.as_nanos()
}

#[test]
fn groups_with_shares_100_and_10_run_ten_to_one() {
    let times = simulated(|| async {
        let (big, small) = (Group::start("big", 100), Group::start("small", 10));
        let hogs = [
            big.spawn(hog(3 * US)),
            small.spawn(hog(7 * US)),
            small.spawn(hog(US)),
        ];
        runtime::sleep(500 * MS).await;
        drop(hogs);
        (run_time(big), run_time(small))
    });
    for (big, small) in times {
        assert!(
            (950..=1050).contains(&percent(big, small)),
            "{big:?} to {small:?}"
        );
        assert!(big + small > 400 * MS, "{big:?} and {small:?} of 500 ms");
    }
}

#[test]
fn shares_can_be_changed_while_the_groups_run() {
    let times = simulated(|| async {
        let (one, other) = (Group::start("one", 100), Group::start("other", 100));
        let hogs = [one.spawn(hog(3 * US)), other.spawn(hog(3 * US))];
        runtime::sleep(100 * MS).await;
        let before = (run_time(one), run_time(other));
        other.set_shares(300);
        runtime::sleep(400 * MS).await;
        drop(hogs);
        (before, (since(one, before.0), since(other, before.1)))
    });
    for (before, after) in times {
        assert!(
            (90..=110).contains(&percent(before.0, before.1)),
            "{before:?}"
        );
        assert!(
            (285..=315).contains(&percent(after.1, after.0)),
            "{after:?}"
        );
    }
}

#[test]
fn a_group_that_was_idle_has_saved_nothing_up() {
    let times = simulated(|| async {
        let (busy, idle) = (Group::start("busy", 100), Group::start("idle", 100));
        let busy_hog = busy.spawn(hog(3 * US));
        runtime::sleep(300 * MS).await;
        let before = run_time(busy);
        let idle_hog = idle.spawn(hog(3 * US));
        runtime::sleep(100 * MS).await;
        drop((busy_hog, idle_hog));
        (since(busy, before), run_time(idle))
    });
    for (busy, idle) in times {
        assert!(
            (90..=110).contains(&percent(busy, idle)),
            "{busy:?} to {idle:?}"
        );
    }
}

#[test]
fn a_hog_in_the_background_delays_nobody_for_longer_than_its_slice() {
    let waits = simulated(|| async {
        let background = Group::start("background", 10).spawn(hog(3 * US));
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            let due = runtime::now() + 100 * US;
            runtime::sleep_until(due).await;
            longest = longest.max(runtime::now() - due);
        }
        drop(background);
        longest
    });
    for longest in waits {
        // A slice of 50 us, a step beyond it, and what two turns take.
        assert!(longest < 60 * US, "{longest:?}");
    }
}

#[test]
fn a_hog_in_the_foreground_does_not_starve_the_background() {
    let times = simulated(|| async {
        let background = Group::start("background", 1);
        let hogs = [runtime::spawn(hog(3 * US)), background.spawn(hog(3 * US))];
        runtime::sleep(500 * MS).await;
        drop(hogs);
        run_time(background)
    });
    for time in times {
        // A hundredth of half a second, less what turns take.
        assert!(time > 4 * MS && time < 6 * MS, "{time:?}");
    }
}

#[test]
fn who_is_alone_runs_all_the_time() {
    let times = simulated(|| async {
        let small = Group::start("small", 1);
        let task = small.spawn(hog(3 * US));
        runtime::sleep(100 * MS).await;
        drop(task);
        run_time(small)
    });
    for time in times {
        assert!(time > 90 * MS, "{time:?}");
    }
}

#[test]
fn a_task_that_does_not_ask_is_a_quota_violation_and_one_that_asks_is_none() {
    let counts = simulated(|| async {
        let (polite, rude) = (Group::start("polite", 100), Group::start("rude", 100));
        let asks = polite.spawn(hog(20 * US));
        for _ in 0..7 {
            rude.spawn(async { spend(2 * MS) }).await;
        }
        runtime::sleep(MS).await;
        drop(asks);
        (
            polite.stats().quota_violations,
            rude.stats().quota_violations,
        )
    });
    assert_eq!(counts, [(0, 7); 5]);
}

#[test]
fn a_task_alone_in_the_main_group_has_to_yield_after_the_quota_and_not_before() {
    let times = simulated(|| async {
        yield_now().await;
        let mut spent = Duration::ZERO;
        while !need_preempt() {
            spend(US);
            spent += US;
        }
        assert!(need_preempt(), "it stays so until the task yields");
        yield_now().await;
        assert!(!need_preempt());
        spent
    });
    for spent in times {
        assert!(spent >= 490 * US && spent <= 560 * US, "{spent:?}");
    }
}

#[test]
fn what_a_task_spawns_belongs_to_its_group_also_behind_a_wait() {
    let names = simulated(|| async {
        let group = Group::start("own", 10);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let note = Rc::clone(&seen);
        let name = || Group::current().stats().name;
        let outer = group.spawn(async move {
            note.borrow_mut().push(name());
            runtime::sleep(MS).await;
            note.borrow_mut().push(name());
            runtime::spawn(async move { note.borrow_mut().push(name()) }).await;
        });
        outer.await;
        seen.borrow_mut().push(name());
        seen.take()
    });
    assert!(
        names
            .iter()
            .all(|names| *names == ["own", "own", "own", "main"]),
        "{names:?}"
    );
}

#[test]
fn the_books_of_a_group_count_its_tasks() {
    let books = simulated(|| async {
        let group = Group::start("books", 7);
        let stays = group.spawn(std::future::pending::<()>());
        let yields = group.spawn(async {
            yield_now().await;
            yield_now().await;
        });
        let ready = group.stats().ready;
        yields.await;
        let stats = group.stats();
        drop(stays);
        // Turns end without a slice for the group until its shares entitle it to one: while the
        // main group has something to do, it has no spare time.
        for _ in 0..100 {
            yield_now().await;
        }
        (
            ready,
            stats.polls,
            stats.tasks,
            stats.shares,
            group.stats().tasks,
        )
    });
    assert_eq!(books, [(2, 4, 1, 7, 0); 5]);
}

#[test]
fn groups_take_turns_in_what_they_are_woken_for() {
    let done = simulated(|| async {
        let count = Rc::new(Cell::new(0));
        let groups: Vec<_> = (1..8)
            .map(|n| Group::start(format!("g{n}"), n * 100))
            .collect();
        let tasks: Vec<_> = (0..700)
            .map(|n| {
                let (group, count) = (groups[n % 7], Rc::clone(&count));
                group.spawn(async move {
                    runtime::sleep(US * u32::try_from(n % 13).unwrap()).await;
                    spend(2 * US);
                    count.set(count.get() + 1);
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        count.get()
    });
    assert_eq!(done, [700; 5]);
}

fn start(name: impl ToString, shares: u32) {
    let _group = Group::start(name.to_string(), shares);
}

/// What `main` panics with on a shard.
fn refusal(main: fn()) -> String {
    let run = move || {
        let config = Config::new(Placement::unpinned(1));
        run_on_all_shards(&config, move |_| async move { main() })
    };
    let panic = std::panic::catch_unwind(run).expect_err("it is refused");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn there_are_so_many_groups_and_no_more() {
    let start_all = |count: usize| (1..count).for_each(|n| start(n, 1));
    let config = Config::new(Placement::unpinned(1));
    let full = run_on_all_shards(&config, move |_| async move {
        start_all(GROUPS_MAX);
        Group::all().len()
    });
    assert_eq!(full.unwrap(), [GROUPS_MAX]);
    let message = refusal(|| (1..=GROUPS_MAX).for_each(|n| start(n, 1)));
    assert_eq!(
        message,
        "no group `16`: there are 16 already; let tasks share one"
    );
}

#[test]
fn shares_have_bounds_and_names_are_taken_once() {
    let config = Config::new(Placement::unpinned(1));
    let shares = run_on_all_shards(&config, |_| async {
        Group::start("least", 1);
        Group::start("most", SHARES_MAX);
        Group::named("most").unwrap().stats().shares
    });
    assert_eq!(shares.unwrap(), [SHARES_MAX]);
    let none = refusal(|| start("none", 0));
    assert_eq!(none, "the group `none` has 0 shares: give it 1 to 1000");
    let many = refusal(|| start("many", SHARES_MAX + 1));
    assert_eq!(many, "the group `many` has 1001 shares: give it 1 to 1000");
    let twice = refusal(|| start("main", 1));
    assert!(
        twice.starts_with("there is a group `main` already"),
        "{twice}"
    );
}

/// On a shard of real time that has a ring. A slice of the background lasts for a minute if nothing
/// ends it, and it watches over itself.
#[test]
fn a_background_that_has_the_shard_for_itself_gives_it_up_for_what_comes() {
    let mut config = Config::new(Placement::unpinned(1));
    config.driver = runtime::DriverChoice::Uring;
    config.task_quota = Duration::from_mins(1);
    let steps = run_on_all_shards(&config, |_| async {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let mut listener = sunstar::net::TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let steps = Rc::new(Cell::new(0_u64));
        let count = Rc::clone(&steps);
        let (begin, begun) = std::sync::mpsc::channel();
        // Speaks only while the background computes.
        let outsider = std::thread::spawn(move || {
            begun.recv().unwrap();
            std::net::TcpStream::connect(address).unwrap()
        });
        let background = Group::start("background", 100);
        let computing = background.spawn(async move {
            let start = runtime::wall_clock();
            begin.send(()).unwrap();
            loop {
                count.set(count.get() + 1);
                let passed = start.elapsed().unwrap_or_default();
                assert!(passed < Duration::from_secs(20), "nobody ends its slice");
                yield_if_needed().await;
            }
        });
        let accepted = listener.accept().await.unwrap();
        assert!(!computing.is_finished(), "it was given up to, not ended");
        drop((accepted, computing));
        outsider.join().unwrap();
        steps.get()
    });
    assert!(steps.unwrap()[0] > 0);
}
