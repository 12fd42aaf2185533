//! What each driver that is built in must do, whatever the environment chooses for other tests.
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use sunstar::net::{TcpListener, TcpStream};
use sunstar::runtime::{
    Config, DriverChoice, Placement, driver_features, driver_name, now, run_on_all_shards, sleep,
    spawn, stats, yield_now,
};
use sunstar::{Error, ShardId, Sharded};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Tests that count the descriptors of this process, or open some, run one by one.
#[expect(clippy::disallowed_methods, reason = "threads of tests meet here")]
static ALONE: Mutex<()> = Mutex::new(());

/// The feature that a driver needs, and whether it is built in.
fn feature(choice: DriverChoice) -> Option<(&'static str, bool)> {
    match choice {
        DriverChoice::Monoio | DriverChoice::MonoioLegacy => {
            Some(("monoio", cfg!(feature = "monoio")))
        }
        DriverChoice::Glommio => Some(("glommio", cfg!(feature = "glommio"))),
        _ => None,
    }
}

fn built_in() -> impl Iterator<Item = DriverChoice> {
    let all = DriverChoice::ALL.into_iter();
    let all = all.filter(|choice| *choice != DriverChoice::Auto);
    all.filter(|choice| feature(*choice).is_none_or(|(_, built_in)| built_in))
}

fn run<M, F, T>(choice: DriverChoice, shards: usize, main: M) -> Result<Vec<T>, Error>
where
    M: Fn(ShardId) -> F + Send + Sync + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let _alone = alone();
    run_among_others(choice, shards, main)
}

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_among_others<M, F, T>(choice: DriverChoice, shards: usize, main: M) -> Result<Vec<T>, Error>
where
    M: Fn(ShardId) -> F + Send + Sync + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let driver = choice;
    let placement = Placement::unpinned(shards);
    run_on_all_shards(
        &Config {
            driver,
            ..Config::new(placement)
        },
        main,
    )
}

#[test]
fn a_choice_is_what_runs_or_names_the_feature_to_build_with() {
    for choice in DriverChoice::ALL {
        let names = run(choice, 2, |_| async { driver_name() });
        match feature(choice) {
            Some((feature, false)) => {
                let error = names.unwrap_err().to_string();
                assert!(
                    error.contains(&format!("build with `--features {feature}`")),
                    "{error}"
                );
            }
            _ if choice == DriverChoice::Auto => assert_eq!(names.unwrap().len(), 2),
            _ => assert_eq!(names.unwrap(), [choice.to_string(), choice.to_string()]),
        }
    }
}

#[test]
fn a_shard_names_the_features_that_its_driver_uses() {
    let features = |driver, wanted: &str| {
        let mut config = Config::new(Placement::unpinned(1));
        config.driver = driver;
        config.uring.features = wanted.parse().unwrap();
        let named = run_on_all_shards(&config, |_| async { driver_features() });
        named.unwrap().remove(0)
    };
    assert_eq!(features(DriverChoice::Uring, "restrict"), "restrict");
    assert_eq!(features(DriverChoice::Uring, "-restrict"), "none");
    assert_eq!(features(DriverChoice::Epoll, "restrict"), "none");
}

/// Sends `len` bytes through a connection to itself and back, and ends both directions.
async fn talk(len: usize) -> usize {
    let mut listener = TcpListener::bind(ANY).unwrap();
    let address = listener.local_addr().unwrap();
    let echo = spawn(async move {
        let mut stream = listener.accept().await.unwrap();
        while let Some(bytes) = stream.recv().await.unwrap() {
            stream.queue(bytes);
            stream.flush().await.unwrap();
        }
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.queue(vec![7; len]);
    stream.shutdown();
    let mut back = 0;
    while let Some(bytes) = stream.recv().await.unwrap() {
        back += bytes.len();
    }
    echo.await;
    back
}

#[test]
fn every_operation_works_and_leaves_nothing_in_flight() {
    for choice in built_in() {
        let ends = run(choice, 1, |_| async {
            assert_eq!(talk(300_000).await, 300_000);
            let mut at_rest = stats();
            // The completions of the last closes come with the next turns.
            while at_rest.sockets + at_rest.operations + at_rest.blocks > 0 {
                yield_now().await;
                at_rest = stats();
            }
            (at_rest.stray, at_rest.tasks)
        });
        assert_eq!(ends.unwrap(), [(0, 1)], "{choice}");
    }
}

#[test]
fn a_task_that_is_always_ready_keeps_nobody_from_the_sockets() {
    for choice in built_in() {
        let talked = run(choice, 1, |_| async {
            let turns = Rc::new(Cell::new(0_u64));
            let counter = Rc::clone(&turns);
            let busy = spawn(async move {
                loop {
                    counter.set(counter.get() + 1);
                    yield_now().await;
                }
            });
            let back = talk(100_000).await;
            drop(busy);
            assert!(turns.get() > 0);
            back
        });
        assert_eq!(talked.unwrap(), [100_000], "{choice}");
    }
}

#[test]
fn a_task_that_yields_lets_completions_be_seen_first() {
    for choice in built_in() {
        let talked = run(choice, 1, |_| async {
            let woken = spawn(talk(100_000));
            // Completions are reaped once in a turn, and the shard's clock moves with each.
            let mut turn = now();
            while !woken.is_finished() {
                yield_now().await;
                assert!(now() > turn, "a second run in one turn");
                turn = now();
            }
            woken.await
        });
        assert_eq!(talked.unwrap(), [100_000], "{choice}");
    }
}

#[test]
fn those_that_have_yielded_go_on_in_their_order_when_nobody_else_is_ready() {
    for choice in built_in() {
        let order = run(choice, 1, |_| async {
            let order = Rc::new(RefCell::new(Vec::new()));
            let yields = |name| {
                let order = Rc::clone(&order);
                spawn(async move {
                    yield_now().await;
                    order.borrow_mut().push(name);
                })
            };
            let yielded = (yields(1), yields(2));
            let others = Rc::clone(&order);
            let woken = spawn(async move {
                wake_itself(10).await;
                others.borrow_mut().push(0);
            });
            yielded.0.await;
            yielded.1.await;
            woken.await;
            order.take()
        });
        assert_eq!(order.unwrap(), [[0, 1, 2]], "{choice}");
    }
}

/// Is ready again at once, `times` times.
async fn wake_itself(mut times: u32) {
    poll_fn(|context| {
        if times == 0 {
            return Poll::Ready(());
        }
        times -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn a_shard_ends_also_when_a_task_has_just_yielded() {
    for choice in built_in() {
        let held = Arc::new(());
        let given = Arc::clone(&held);
        let ends = run(choice, 1, move |_| {
            let given = Arc::clone(&given);
            async move {
                spawn(async move {
                    while Arc::strong_count(&given) > 0 {
                        yield_now().await;
                    }
                })
                .detach();
                yield_now().await;
            }
        });
        ends.unwrap();
        assert_eq!(Arc::strong_count(&held), 1, "{choice}: a task was kept");
    }
}

#[test]
fn shards_wake_each_other() {
    for choice in built_in() {
        let sums = run(choice, 3, |shard| async move {
            let own = Sharded::start(shard.index());
            let mut sum = 0;
            for _ in 0..100 {
                sum += own.map_reduce(|index| *index, |a, b| a + b).await;
            }
            sum
        });
        assert_eq!(sums.unwrap(), [300; 3], "{choice}");
    }
}

#[test]
fn a_shard_that_ends_with_everything_open_gives_its_descriptors_back() {
    const STREAMS: usize = 20;
    let leave = |_| async {
        let listener = TcpListener::bind(ANY).unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Rc::new(Cell::new(0));
        spawn(accept_for_ever(listener, Rc::clone(&accepted))).detach();
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.queue(vec![1; 100_000]);
            streams.push(stream);
        }
        while accepted.get() < STREAMS {
            yield_now().await;
        }
    };
    let _alone = alone();
    for choice in built_in() {
        run_among_others(choice, 1, leave).unwrap();
        let before = descriptors(choice);
        for _ in 0..5 {
            run_among_others(choice, 1, leave).unwrap();
        }
        // A ring gives its descriptors back a little after it is closed.
        let left = (0..1000)
            .map(|_| descriptors(choice))
            .find(|left| *left <= before);
        assert!(
            left.is_some(),
            "{choice}: {before} descriptors, then {}",
            descriptors(choice)
        );
    }
}

#[test]
fn a_shard_that_goes_on_hears_of_a_connection_soon() {
    // A turn that goes on at once makes no system call, and takes a fraction of a microsecond.
    const TURNS_MAX: u64 = 1000;
    for choice in built_in() {
        let slow = run(choice, 1, |_| async {
            let mut listener = TcpListener::bind(ANY).unwrap();
            let address = listener.local_addr().unwrap();
            let mut slow = Vec::new();
            for _ in 0..100 {
                let _client = std::net::TcpStream::connect(address).unwrap();
                let mut turns = 0;
                while !is_accepted(&mut listener).await {
                    yield_now().await;
                    turns += 1;
                }
                slow.extend(Some(turns).filter(|turns| *turns > TURNS_MAX));
            }
            slow
        });
        assert_eq!(slow.unwrap(), [[0; 0]], "{choice}: so many turns");
    }
}

async fn is_accepted(listener: &mut TcpListener) -> bool {
    poll_fn(|context| Poll::Ready(listener.poll_accept(context).is_ready())).await
}

#[test]
fn a_connection_that_comes_while_its_listener_closes_is_closed_too() {
    const TURNS: u64 = 10;
    for choice in built_in() {
        let clients = run(choice, 1, |_| async {
            let mut clients = Vec::new();
            for later in 0..TURNS {
                clients.push(connect_when_closing(later).await.ok());
            }
            clients
        });
        let clients = clients.unwrap().pop().unwrap();
        assert!(clients.iter().any(Option::is_some), "{choice}: all refused");
        for (turns, mut client) in clients.into_iter().enumerate() {
            let end = client.as_mut().map(end_of);
            let is_closed = matches!(end, None | Some(Ok(0) | Err(ErrorKind::ConnectionReset)));
            assert!(is_closed, "{choice}, {turns} turns later: {end:?}");
        }
    }
}

/// Connects to a listener that was dropped so many turns before; an error when it is gone.
async fn connect_when_closing(later: u64) -> std::io::Result<std::net::TcpStream> {
    let mut listener = TcpListener::bind(ANY)?;
    let address = listener.local_addr()?;
    assert!(!is_accepted(&mut listener).await);
    // By then the accept is with the kernel, if the driver hands it over.
    turn_times(10).await;
    drop(listener);
    turn_times(later).await;
    std::net::TcpStream::connect(address)
}

async fn turn_times(count: u64) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// What a peer reads that was not sent anything. (It fails in the end instead of hanging.)
fn end_of(client: &mut std::net::TcpStream) -> Result<usize, ErrorKind> {
    let patience = Duration::from_secs(10);
    client.set_read_timeout(Some(patience)).unwrap();
    client.read(&mut [0]).map_err(|error| error.kind())
}

/// How many descriptors this process has open; inside glommio but eventfds, of which each of its
/// executors leaves one behind.
fn descriptors(choice: DriverChoice) -> usize {
    let is_glommio = choice.to_string() == "glommio";
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let named = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    named
        .filter(|name| !is_glommio || !name.to_string_lossy().ends_with("[eventfd]"))
        .count()
}

async fn accept_for_ever(mut listener: TcpListener, accepted: Rc<Cell<usize>>) {
    let mut streams = Vec::new();
    loop {
        streams.push(listener.accept().await.unwrap());
        accepted.set(streams.len());
    }
}

#[test]
fn a_panic_on_one_shard_ends_all() {
    for choice in built_in() {
        let ended = std::panic::catch_unwind(|| {
            run(choice, 2, |shard| async move {
                assert_ne!(shard.index(), 1, "on purpose");
                sleep(Duration::from_hours(1)).await;
            })
        });
        assert!(ended.is_err(), "{choice}");
    }
}
