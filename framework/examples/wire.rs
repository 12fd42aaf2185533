//! The target for suites that try a server at the wire: every path answers 200.
//!
//! `GET` with `ok`; `POST`, `PUT` and `PATCH` with their content, streamed back as it comes; a
//! `Cookie` as `X-Cookie`. `cargo run --release --example wire -- --listen 127.0.0.1:8080`.

use std::time::Duration;

use clap::Parser;
use sunstar::http::{HeaderName, HeaderValue, header};
use sunstar::service::{Body, BodyError, Outflow, Reply, Request, Response, generate};
use sunstar::{IntoResponse, Method, Service, StatusCode};

/// Up to so much is echoed once it is whole, so that what is wrong with it can still be answered.
const HELD_MAX: usize = 16 * 1024;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    sunstar: sunstar::cli::Args,
    /// Seconds that a head may take
    #[arg(long, default_value_t = 10.0)]
    header_timeout: f64,
    /// Seconds that content may pause
    #[arg(long, default_value_t = 30.0)]
    body_timeout: f64,
    /// Seconds that a connection may be idle; few, since test programs wait for the end of it
    #[arg(long, default_value_t = 10.0)]
    idle_timeout: f64,
    /// The longest content that is echoed, in bytes
    #[arg(long, default_value_t = 1 << 30)]
    body_max: u64,
}

fn main() -> sunstar::Result<()> {
    let cli = Cli::parse();
    let mut server = cli.sunstar.server(&["0.0.0.0:8080"])?;
    let limits = &mut server.config_mut().limits;
    limits.header_timeout = Duration::from_secs_f64(cli.header_timeout);
    limits.content_timeout = Duration::from_secs_f64(cli.body_timeout);
    limits.idle_timeout = Duration::from_secs_f64(cli.idle_timeout);
    server.serve(move |_shard| Wire { max: cli.body_max })
}

struct Wire {
    max: u64,
}

impl Service for Wire {
    fn call(&self, request: Request) -> Reply {
        let cookie = request.field(&header::COOKIE).map(HeaderValue::from_bytes);
        let with_cookie = move |response: Response| match cookie {
            Some(Ok(value)) => response.with_field(HeaderName::from_static("x-cookie"), value),
            _ => response,
        };
        match *request.method() {
            Method::POST | Method::PUT | Method::PATCH => {
                let body = request.body().map(|body| body.limited(self.max));
                let pool = request.pool().clone();
                Reply::later(async move {
                    let body = body.expect("nobody else takes it");
                    let echoed = echo(body).await;
                    with_cookie(echoed.into_response(&pool))
                })
            }
            Method::CONNECT | Method::TRACE => Response::new(StatusCode::NOT_IMPLEMENTED).into(),
            _ => with_cookie(Response::new(StatusCode::OK).with_content("ok")).into(),
        }
    }
}

/// Sends back what comes; its beginning once that is all or much.
async fn echo(mut body: Body) -> Result<Response, BodyError> {
    let (mut held, mut held_len) = (Vec::new(), 0);
    while held_len < HELD_MAX
        && let Some(piece) = body.next().await
    {
        let piece = piece?;
        held_len += piece.len();
        held.push(piece);
    }
    let pieces = generate(|mut out: Outflow| async move {
        for piece in held {
            out.send(piece).await;
        }
        while let Some(piece) = body.next().await {
            out.send(piece?).await;
        }
        Ok::<(), BodyError>(())
    });
    Ok(Response::new(StatusCode::OK).with_stream(pieces))
}
