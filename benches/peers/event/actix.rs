//! The challenge's service on actix-web, as the fastest run published is: handlers send events to
//! one aggregator thread, which alone holds the figures. `actix_event PORT`.

use std::collections::HashSet;
use std::env;
use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use actix_web::web::{self, Data, Json};
use actix_web::{App, HttpResponse, HttpServer};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    user_id: String,
    value: f64,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    total_requests: u64,
    unique_users: usize,
    sum: f64,
    avg: f64,
}

enum Message {
    Record(Event),
    Ask(oneshot::Sender<Stats>),
}

fn aggregate(messages: &Receiver<Message>) {
    let (mut users, mut count, mut sum) = (HashSet::new(), 0_u64, 0.0);
    for message in messages {
        match message {
            Message::Record(event) => {
                users.insert(event.user_id);
                (count, sum) = (count + 1, sum + event.value);
            }
            Message::Ask(answer) => {
                let stats = Stats {
                    total_requests: count,
                    unique_users: users.len(),
                    sum,
                    avg: if count == 0 { 0.0 } else { sum / count as f64 },
                };
                // Whoever asked may have gone away.
                let _ = answer.send(stats);
            }
        }
    }
}

async fn post_event(aggregator: Data<Sender<Message>>, Json(event): Json<Event>) -> HttpResponse {
    aggregator.send(Message::Record(event)).expect("it runs as long as the server");
    HttpResponse::Ok().finish()
}

async fn get_stats(aggregator: Data<Sender<Message>>) -> HttpResponse {
    let (answer, stats) = oneshot::channel();
    aggregator.send(Message::Ask(answer)).expect("it runs as long as the server");
    HttpResponse::Ok().json(stats.await.expect("it answers"))
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port = env::args().nth(1).and_then(|port| port.parse::<u16>().ok());
    let port = port.expect("actix_event PORT");
    let (aggregator, messages) = channel();
    thread::spawn(move || aggregate(&messages));
    let aggregator = Data::new(aggregator);
    HttpServer::new(move || {
        App::new()
            .app_data(Data::clone(&aggregator))
            .route("/event", web::post().to(post_event))
            .route("/stats", web::get().to(get_stats))
    })
    .bind((Ipv4Addr::LOCALHOST, port))?
    .run()
    .await
}
