//! `TechEmpower`'s database tests, over each shard's own connections to `PostgreSQL`.
//!
//! `scripts/db.py` starts a `PostgreSQL` with the suite's table, this program, and checks what it
//! answers. By hand: `cargo run --release --example db -- --database 'user=me dbname=hello_world'`,
//! then `curl 'localhost:8080/queries?queries=3'`.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::rc::Rc;

use clap::Parser;
use serde::{Deserialize, Serialize};
use sunstar::future::when_all_succeed;
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

/// Answers /db and /queries from a table named world.
#[derive(Clone, Parser)]
struct Cli {
    #[command(flatten)]
    sunstar: sunstar::cli::Args,
    /// Where the database listens
    #[arg(long, default_value = "127.0.0.1:5432")]
    postgres: SocketAddr,
    /// Who asks for what, as in libpq's connection strings
    #[arg(long, default_value = "user=benchmarkdbuser dbname=hello_world")]
    database: Config,
    /// Connections of each shard to the database, each of which carries many queries at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    links: u8,
}

/// The connections of one shard, made when they are first needed and again when they have ended.
struct Pool {
    cli: Cli,
    links: Vec<Shared<Linked>>,
    turn: usize,
    random: u64,
}

type Linked = std::result::Result<Rc<Link>, Failure>;

/// What a client gets whose query could not be answered.
type Failure = (StatusCode, String);

/// A connection on which many queries may be under way.
struct Link {
    client: Client,
    by_id: Statement,
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

async fn one(pool: Sharded<Pool>) -> std::result::Result<Json<World>, Failure> {
    let (link, id) = pool.local(|pool| (pool.link(), pool.id()));
    link.await?.world(id).await.map(Json)
}

/// As many rows as are asked for, each by a query of its own, all of them under way at once.
async fn many(
    pool: Sharded<Pool>,
    Query(asked): Query<Asked>,
) -> std::result::Result<Json<Vec<World>>, Failure> {
    let count = asked.queries.and_then(|count| count.parse().ok());
    let count = count.unwrap_or(1).clamp(1, QUERIES_MAX);
    let (link, ids) = pool.local(|pool| {
        let ids: Vec<_> = (0..count).map(|_| pool.id()).collect();
        (pool.link(), ids)
    });
    let link = link.await?;
    let worlds = ids.into_iter().map(|id| link.world(id));
    when_all_succeed(worlds).await.map(Json)
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
        let has_ended = |linked: Linked| linked.is_ok_and(|link| link.client.is_closed());
        if link.peek().is_some_and(|it| it.is_err() || has_ended(it)) {
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

/// Connects once somebody waits for it.
fn connecting(cli: &Cli) -> Shared<Linked> {
    let (address, config) = (cli.postgres, cli.database.clone());
    Shared::new(async move {
        let link = Link::connect(address, config).await;
        link.map(Rc::new)
    })
}

impl Link {
    async fn connect(address: SocketAddr, config: Config) -> std::result::Result<Link, Failure> {
        let stream = TcpStream::connect(address).await.map_err(unavailable)?;
        let connected = config.connect_raw(Adapter::new(stream), NoTls).await;
        let (client, connection) = connected.map_err(unavailable)?;
        // It carries what the client says, and ends with it or with the database's end.
        spawn(connection).detach();
        let by_id = client.prepare("SELECT id, randomnumber FROM world WHERE id = $1");
        let by_id = by_id.await.map_err(unavailable)?;
        Ok(Link { client, by_id })
    }

    async fn world(&self, id: i32) -> std::result::Result<World, Failure> {
        let row = self.client.query_one(&self.by_id, &[&id]).await;
        let row = row.map_err(unavailable)?;
        Ok(World {
            id: row.get(0),
            random_number: row.get(1),
        })
    }
}

/// Tells the operator why, and the client only that it may come again.
fn unavailable(error: impl std::error::Error) -> Failure {
    let mut reason = error.to_string();
    if let Some(source) = error.source() {
        reason = format!("{reason}: {source}");
    }
    eprintln!("db: {reason}");
    let text = "the database does not answer; try again\n";
    (StatusCode::SERVICE_UNAVAILABLE, text.into())
}
