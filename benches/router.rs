//! What routing costs, from a request to the answer of a handler that does nothing, beside matchit
//! alone on the same routes.

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
    targets = router
}
criterion_main!(benches);

fn router(criterion: &mut Criterion) {
    let nothing = || StatusCode::OK;
    let start = Router::with(Sharded::single(()));
    let router = ROUTES
        .iter()
        .fold(start, |it, route| it.get(route, nothing));
    let mut alone = matchit::Router::new();
    for route in ROUTES {
        alone.insert(route, ()).expect("the routes do not collide");
    }
    let mut group = criterion.benchmark_group("router");
    for target in TARGETS {
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
