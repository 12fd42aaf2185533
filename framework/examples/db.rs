//! `TechEmpower`'s database tests, over each shard's own connections to `PostgreSQL`.
//!
//! `scripts/db.py` starts a `PostgreSQL` with the suite's table, this program, and checks what it
//! answers. By hand: `cargo run --release --example db -- --database 'user=me dbname=hello_world'`,
//! then `curl 'localhost:8080/queries?queries=3'`.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::num::IntErrorKind;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use serde::{Deserialize, Serialize};
use sunstar::future::{when_all_succeed, with_timeout};
use sunstar::net::{Adapter, TcpStream};
use sunstar::runtime::spawn;
use sunstar::service::Query;
use sunstar::sync::Shared;
use sunstar::{Json, Result, Router, Sharded, StatusCode};
use tokio_postgres::{Client, Config, NoTls, Statement};

/// How many rows the table has: their numbers begin with 1.
const ROW_COUNT: u64 = 10_000;
/// How many rows one request gets at most; whoever asks for more gets these.
const QUERIES_MAX: usize = 500;
/// How long the database may take for anything, before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers /db and /queries from a table named world.
#[derive(Clone, Parser)]
struct Cli {
    #[command(flatten)]
    sunstar: sunstar::cli::Args,
    /// Where the database listens
    #[arg(long, default_value = "127.0.0.1:5432")]
    postgres: SocketAddr,
    /// Who asks for what, as in libpq's connection strings, without host and port
    #[arg(long, default_value = "user=benchmarkdbuser dbname=hello_world", value_parser = database)]
    database: Config,
    /// Connections of each shard to the database, each of which carries many queries at a time; of
    /// all shards together it takes 100 by default
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    links: u8,
}

/// The connections of one shard, made anew when they are needed and have ended.
struct Pool {
    cli: Cli,
    links: Vec<Shared<Linked>>,
    turn: usize,
    random: u64,
}

type Linked = std::result::Result<Rc<Link>, Failure>;

/// Why a query was not answered.
#[derive(Clone)]
struct Failure {
    /// The database has answered, with an error.
    is_told: bool,
    reason: String,
}

/// A connection on which many queries may be under way.
struct Link {
    client: Client,
    by_id: Statement,
    /// It has not answered in time.
    is_lost: Cell<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct World {
    id: i32,
    random_number: i32,
}

#[derive(Deserialize)]
struct Asked {
    queries: Option<String>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    cli.sunstar
        .clone()
        .server(&["127.0.0.1:8080"])?
        .serve(move |_shard| {
            Router::new(Pool::new(cli.clone()))
                .get("/db", one)
                .get("/queries", many)
        })
}

/// Understands what a client is told to ask; where is said apart.
fn database(text: &str) -> std::result::Result<Config, String> {
    let config: Config = text.parse().map_err(|error| format!("{error}"))?;
    let is_placed = !(config.get_hosts().is_empty() && config.get_ports().is_empty());
    if is_placed || !config.get_hostaddrs().is_empty() {
        return Err("say by --postgres ADDRESS:PORT where it is, without a host and a port".into());
    }
    Ok(config)
}

async fn one(pool: Sharded<Pool>) -> std::result::Result<Json<World>, Refusal> {
    let (link, id) = pool.local(|pool| (pool.link(), pool.id()));
    let world = async { link.await?.world(id).await };
    world.await.map(Json).map_err(refusal)
}

/// As many rows as are asked for, each by a query of its own, all of them under way at once.
async fn many(
    pool: Sharded<Pool>,
    Query(asked): Query<Asked>,
) -> std::result::Result<Json<Vec<World>>, Refusal> {
    let count = count(asked.queries.as_deref().unwrap_or_default());
    let (link, ids) = pool.local(|pool| {
        let ids: Vec<_> = (0..count).map(|_| pool.id()).collect();
        (pool.link(), ids)
    });
    let link = link.await.map_err(refusal)?;
    let worlds = ids.into_iter().map(|id| link.world(id));
    when_all_succeed(worlds).await.map(Json).map_err(refusal)
}

/// How many rows somebody gets who asks so: one, if that is no number.
fn count(asked: &str) -> usize {
    match asked.parse::<usize>() {
        Ok(count) => count.clamp(1, QUERIES_MAX),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => QUERIES_MAX,
        Err(_) => 1,
    }
}

impl Pool {
    fn new(cli: Cli) -> Pool {
        let links = (0..cli.links).map(|_| connecting(&cli)).collect();
        Pool {
            cli,
            links,
            turn: 0,
            random: RandomState::new().hash_one(()),
        }
    }

    /// The next connection in turn, which may still be under way.
    fn link(&mut self) -> Shared<Linked> {
        self.turn = (self.turn + 1) % self.links.len();
        let link = &mut self.links[self.turn];
        // One that is under way may yet be good.
        if link.peek().is_some_and(|linked| !is_good(&linked)) {
            *link = connecting(&self.cli);
        }
        link.clone()
    }

    /// A row's number, by Knuth's linear congruence.
    fn id(&mut self) -> i32 {
        let random = self.random.wrapping_mul(6_364_136_223_846_793_005);
        self.random = random.wrapping_add(1_442_695_040_888_963_407);
        i32::try_from((self.random >> 33) % ROW_COUNT).expect("few rows") + 1
    }
}

/// Whether queries can go out on what a connection has come to.
fn is_good(linked: &Linked) -> bool {
    let link = linked.as_ref();
    link.is_ok_and(|link| !link.is_lost.get() && !link.client.is_closed())
}

/// Begins to connect, and goes on with it whoever waits.
fn connecting(cli: &Cli) -> Shared<Linked> {
    let (address, config) = (cli.postgres, cli.database.clone());
    let link = Shared::new(async move {
        let connected = with_timeout(PATIENCE, Link::connect(address, config)).await;
        connected.unwrap_or_else(|late| Err(Failure::unheard(late)))
    });
    spawn(link.clone()).detach();
    link
}

impl Link {
    async fn connect(address: SocketAddr, config: Config) -> Linked {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(Failure::unheard)?;
        let (client, connection) = config.connect_raw(Adapter::new(stream), NoTls).await?;
        // It carries what the client says, and ends with it or with the database's end.
        spawn(async {
            if let Err(error) = connection.await {
                eprintln!("db: {}", Failure::from(error).reason);
            }
        })
        .detach();
        let by_id = client.prepare("SELECT id, randomnumber FROM world WHERE id = $1");
        let by_id = by_id.await?;
        Ok(Rc::new(Link {
            client,
            by_id,
            is_lost: Cell::new(false),
        }))
    }

    async fn world(&self, id: i32) -> std::result::Result<World, Failure> {
        let row = with_timeout(PATIENCE, self.client.query_one(&self.by_id, &[&id])).await;
        let row = row.map_err(|late| {
            self.is_lost.set(true);
            Failure::unheard(late)
        })??;
        Ok(World {
            id: row.get(0),
            random_number: row.get(1),
        })
    }
}

impl Failure {
    fn unheard(error: impl std::error::Error) -> Failure {
        Failure {
            is_told: false,
            reason: error.to_string(),
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        let source = std::error::Error::source(&error);
        let source = source.map_or(String::new(), |source| format!(": {source}"));
        Failure {
            is_told: error.as_db_error().is_some(),
            reason: format!("{error}{source}"),
        }
    }
}

/// What a client gets whose query was not answered.
type Refusal = (StatusCode, &'static str);

/// Tells the operator why, and the client only whether it may come again.
fn refusal(failure: Failure) -> Refusal {
    eprintln!("db: {}", failure.reason);
    if failure.is_told {
        let text = "the database cannot answer this\n";
        return (StatusCode::INTERNAL_SERVER_ERROR, text);
    }
    let text = "the database does not answer; try again\n";
    (StatusCode::SERVICE_UNAVAILABLE, text)
}
