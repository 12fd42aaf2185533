//! The service on actix-web: `actix PORT [--aggregator]`.
//!
//! With `--aggregator` handlers send events to one thread, which alone holds the figures: the
//! design of the fastest complete run of the challenge that was published. Without it all threads
//! share a concurrent set.

use std::collections::HashSet;
use std::env;
use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use actix_web::http::header::ContentType;
use actix_web::web::{self, Data, Json, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer};
use peer_tally::{Event, HELLO, Message, Stats, Tally};
use tokio::sync::oneshot;

enum ForAggregator {
    Record(Event),
    Ask(oneshot::Sender<Stats>),
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port = peer_tally::port();
    let with_aggregator = env::args().any(|word| word == "--aggregator");
    let tally = Data::new(Tally::default());
    let (sender, messages) = channel();
    let sender = Data::new(sender);
    if with_aggregator {
        thread::spawn(move || aggregate(&messages));
    }
    HttpServer::new(move || {
        let figures = |config: &mut ServiceConfig| {
            if with_aggregator {
                config
                    .app_data(Data::clone(&sender))
                    .route("/event", web::post().to(send_event))
                    .route("/stats", web::get().to(ask_stats));
            } else {
                config
                    .app_data(Data::clone(&tally))
                    .route("/event", web::post().to(post_event))
                    .route("/stats", web::get().to(stats));
            }
        };
        App::new()
            .route("/plaintext", web::get().to(plaintext))
            .route("/json", web::get().to(json))
            .configure(figures)
    })
    .bind((Ipv4Addr::LOCALHOST, port))?
    .run()
    .await
}

async fn plaintext() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::plaintext())
        .body(HELLO)
}

async fn json() -> HttpResponse {
    HttpResponse::Ok().json(Message::hello())
}

async fn post_event(tally: Data<Tally>, Json(event): Json<Event>) -> HttpResponse {
    tally.record(event);
    HttpResponse::Ok().finish()
}

async fn stats(tally: Data<Tally>) -> HttpResponse {
    HttpResponse::Ok().json(tally.stats())
}

async fn send_event(
    aggregator: Data<Sender<ForAggregator>>,
    Json(event): Json<Event>,
) -> HttpResponse {
    let message = ForAggregator::Record(event);
    aggregator
        .send(message)
        .expect("it runs as long as the server");
    HttpResponse::Ok().finish()
}

async fn ask_stats(aggregator: Data<Sender<ForAggregator>>) -> HttpResponse {
    let (answer, stats) = oneshot::channel();
    let message = ForAggregator::Ask(answer);
    aggregator
        .send(message)
        .expect("it runs as long as the server");
    HttpResponse::Ok().json(stats.await.expect("it answers"))
}

fn aggregate(messages: &Receiver<ForAggregator>) {
    let (mut users, mut count, mut sum) = (HashSet::new(), 0, 0.0);
    for message in messages {
        match message {
            ForAggregator::Record(event) => {
                users.insert(event.user_id);
                (count, sum) = (count + 1, sum + event.value);
            }
            ForAggregator::Ask(answer) => {
                // Whoever asked may have gone away.
                let _ = answer.send(Stats::of(count, users.len(), sum));
            }
        }
    }
}
