//! The service on ntex with its own runtime on io_uring: `ntex PORT`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ntex::web::types::{Json, State};
use ntex::web::{self, App, HttpResponse, HttpServer};
use peer_tally::{Event, HELLO, Message, Tally};

#[ntex::main]
async fn main() -> std::io::Result<()> {
    let tally = Arc::new(Tally::default());
    HttpServer::new(async move || {
        App::new()
            .state(Arc::clone(&tally))
            .route("/plaintext", web::get().to(plaintext))
            .route("/json", web::get().to(json))
            .route("/event", web::post().to(post_event))
            .route("/stats", web::get().to(stats))
    })
    .bind((Ipv4Addr::LOCALHOST, peer_tally::port()))?
    .run()
    .await
}

async fn plaintext() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body(HELLO)
}

async fn json() -> HttpResponse {
    HttpResponse::Ok().json(&Message::hello())
}

async fn post_event(tally: State<Arc<Tally>>, event: Json<Event>) -> HttpResponse {
    tally.record(event.into_inner());
    HttpResponse::Ok().finish()
}

async fn stats(tally: State<Arc<Tally>>) -> HttpResponse {
    HttpResponse::Ok().json(&tally.stats())
}
