//! `TechEmpower`'s database tests on axum, hyper and tokio-postgres: `peer-axum-db PORT DATABASE`.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Query, State};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_postgres::{Client, NoTls, Statement};

/// As many as the example `db` has by default.
const LINKS: usize = 4;

struct Link {
    client: Client,
    by_id: Statement,
}

struct Pool {
    links: Vec<Link>,
    turn: AtomicUsize,
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

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().ok_or("a port")?.parse()?;
    let database = arguments.next().ok_or("a database")?;
    let mut links = Vec::new();
    for _ in 0..LINKS {
        let (client, connection) = tokio_postgres::connect(&database, NoTls).await?;
        tokio::spawn(connection);
        let by_id = "SELECT id, randomnumber FROM world WHERE id = $1";
        let by_id = client.prepare(by_id).await?;
        links.push(Link { client, by_id });
    }
    let pool = Pool {
        links,
        turn: AtomicUsize::new(0),
    };
    let router = Router::new()
        .route("/db", get(one))
        .route("/queries", get(many))
        .with_state(Arc::new(pool));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    // As its documentation advises for small answers.
    let listener = listener.tap_io(|stream| {
        stream
            .set_nodelay(true)
            .expect("a fresh socket takes the option");
    });
    Ok(axum::serve(listener, router).await?)
}

impl Pool {
    fn link(&self) -> &Link {
        &self.links[self.turn.fetch_add(1, Ordering::Relaxed) % self.links.len()]
    }
}

impl Link {
    async fn world(&self) -> World {
        let id = id();
        let row = self.client.query_one(&self.by_id, &[&id]).await;
        let row = row.expect("the database answers");
        World {
            id: row.get(0),
            random_number: row.get(1),
        }
    }
}

async fn one(State(pool): State<Arc<Pool>>) -> Json<World> {
    Json(pool.link().world().await)
}

async fn many(State(pool): State<Arc<Pool>>, Query(asked): Query<Asked>) -> Json<Vec<World>> {
    let count = asked.queries.and_then(|count| count.parse().ok());
    let link = pool.link();
    let worlds = (0..count.unwrap_or(1).clamp(1, 500)).map(|_| link.world());
    Json(join_all(worlds).await)
}

/// A row's number, drawn as the example `db` does.
fn id() -> i32 {
    thread_local!(static RANDOM: Cell<u64> = const { Cell::new(1) });
    let random = RANDOM.get().wrapping_mul(6_364_136_223_846_793_005);
    let random = random.wrapping_add(1_442_695_040_888_963_407);
    RANDOM.set(random);
    (random >> 33) as i32 % 10_000 + 1
}
