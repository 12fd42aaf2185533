//! One thread of each runtime, as its users start it.

use std::future::Future;
use std::time::Duration;

use sunstar::runtime::{Config, Placement, run_on_all_shards};

pub(crate) fn on_sunstar<F>(main: impl Fn() -> F + Send + Sync + 'static) -> Duration
where
    F: Future<Output = Duration> + 'static,
{
    let config = Config::new(Placement::unpinned(1));
    run_on_all_shards(&config, move |_| main()).expect("one shard can start")[0]
}

pub(crate) fn on_tokio<T>(main: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.expect("tokio can start");
    tokio::task::LocalSet::new().block_on(&runtime, main)
}

pub(crate) fn on_monoio<T>(main: impl Future<Output = T>) -> T {
    let runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build();
    runtime.expect("monoio can start").block_on(main)
}

pub(crate) fn on_glommio<T>(main: impl Future<Output = T>) -> T {
    let executor = glommio::LocalExecutorBuilder::default().make();
    executor.expect("glommio can start").run(main)
}
