//! What routing costs, from a request to the answer of a handler that does nothing, beside matchit
//! alone on the same routes: a public API of 20, and tables of 10, 100 and 1,000.
//!
//! The documents that this project started from say 16 to 29 ns for a match (Apple M2): that is the
//! part that stands here as `matchit`; ours holds the request, the call and the response as well.

mod bounds;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use sunstar::mem::Buf;
use sunstar::service::{Reply, Request, Service};
use sunstar::{Router, Sharded, StatusCode};

/// A public API of usual shape.
const ROUTES: [&str; 20] = [
    "/",
    "/health",
    "/metrics",
    "/users",
    "/users/{user}",
    "/users/{user}/keys",
    "/users/{user}/keys/{key}",
    "/repos/{owner}/{repo}",
    "/repos/{owner}/{repo}/issues",
    "/repos/{owner}/{repo}/issues/{number}",
    "/repos/{owner}/{repo}/issues/{number}/comments",
    "/repos/{owner}/{repo}/pulls",
    "/repos/{owner}/{repo}/pulls/{number}",
    "/repos/{owner}/{repo}/contents/{*path}",
    "/orgs/{org}",
    "/orgs/{org}/members",
    "/orgs/{org}/members/{user}",
    "/search/code",
    "/search/issues",
    "/search/users",
];

/// What is asked: a literal path, one parameter, three, a rest, and nothing.
const TARGETS: [&str; 5] = [
    "/health",
    "/users/ferris",
    "/repos/ferris/crab/issues/17",
    "/repos/ferris/crab/contents/src/lib.rs",
    "/nowhere/at/all",
];

criterion_group! {
    name = benches;
    config = bounds::criterion();
    targets = public_api, tables
}
criterion_main!(benches);

fn public_api(criterion: &mut Criterion) {
    compare(criterion, "router", &ROUTES, &TARGETS);
}

/// Half of the routes are literal, half have two parameters; asked is for one of each.
fn tables(criterion: &mut Criterion) {
    for count in [10, 100, 1000] {
        let pair = |at: usize| {
            [
                format!("/api/v{at}/items"),
                format!("/api/v{at}/{{user}}/{{key}}"),
            ]
        };
        let routes: Vec<_> = (0..count / 2).flat_map(pair).collect();
        let routes: Vec<_> = routes.iter().map(String::as_str).collect();
        let middle = count / 4;
        let [literal, pattern] = [
            format!("/api/v{middle}/items"),
            format!("/api/v{middle}/ferris/17"),
        ];
        let group = format!("router of {count}");
        compare(criterion, &group, &routes, &[&literal, &pattern]);
    }
}

fn compare(criterion: &mut Criterion, name: &str, routes: &[&str], targets: &[&str]) {
    let nothing = || StatusCode::OK;
    let start = Router::with(Sharded::single(()));
    let router = routes
        .iter()
        .fold(start, |it, route| it.get(route, nothing));
    let mut alone = matchit::Router::new();
    for route in routes {
        alone.insert(*route, ()).expect("the routes do not collide");
    }
    let mut group = criterion.benchmark_group(name);
    for &target in targets {
        let model = Request::get(target);
        group.bench_function(format!("sunstar {target}"), |bencher| {
            let again = || Request::new(model.head().clone(), Buf::new(), model.pool().clone());
            let route = |request| match router.call(request) {
                Reply::Now(response) => response,
                Reply::Later(_) => unreachable!("the handler is a plain function"),
            };
            bencher.iter_batched(again, route, BatchSize::SmallInput);
        });
        group.bench_function(format!("matchit {target}"), |bencher| {
            bencher.iter(|| black_box(alone.at(black_box(target)).is_ok()));
        });
    }
}
