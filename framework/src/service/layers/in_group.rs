//! [`InGroup`]: runs handlers in a scheduling group.

use crate::runtime::Group;
use crate::service::{Layer, Next, Reply, Request};

/// Runs what is behind it in a [`Group`] of the shard: plain functions, `async` ones and what they
/// spawn. So a route that computes for long has its part of the shard's time and not more.
///
/// What streams its content is asked for it by the connection, which stays in the main group. Costs
/// a task of its own for each request, and a turn at most until that runs.
///
/// # Cancel safety
/// When the connection ends first, the handler's future is dropped when its group has its next
/// slice.
///
/// # Examples
/// ```no_run
/// use sunstar::runtime::{Group, yield_if_needed};
/// use sunstar::service::layers::InGroup;
/// use sunstar::{Router, Server};
///
/// async fn report() -> String {
///     let mut sum = 0_u64;
///     for number in 0..10_000_000 {
///         sum = sum.wrapping_mul(31) ^ number;
///         if number % 100 == 0 {
///             yield_if_needed().await;
///         }
///     }
///     sum.to_string()
/// }
///
/// Server::bind("127.0.0.1:8080")?.serve(|_shard| {
///     let reports = Group::start("reports", 10);
///     let router = Router::new(()).get("/", || "fast").get("/report", report);
///     router.layer_route("/report", InGroup::new(reports))
/// })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct InGroup {
    group: Group,
}

impl InGroup {
    /// Makes one for a group of the current shard.
    pub fn new(group: Group) -> InGroup {
        InGroup { group }
    }
}

impl Layer for InGroup {
    fn call(&self, request: Request, next: &Next) -> Reply {
        let next = next.clone();
        let answer = async move { next.call(request).response().await };
        Reply::later(self.group.spawn(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{self, Config, Placement, run_on_all_shards};
    use crate::service::{Response, Router, Service};

    /// What each path of a router answers whose `/slow` is in the group `slow`.
    fn answers(paths: &'static [&str]) -> Vec<String> {
        let main = move |_| async move {
            let name = || Group::current().stats().name;
            let spawned = async || runtime::spawn(async { Group::current().stats().name }).await;
            let router = Router::new(())
                .get("/slow", name)
                .get("/slow/spawned", spawned);
            let router = router.layer(InGroup::new(Group::start("slow", 10)));
            let router = router.get("/fast", name);
            let mut answers = Vec::new();
            for path in paths {
                let response = router.call(Request::get(path)).response().await;
                answers.push(String::from_utf8(response.content.as_bytes().to_vec()).unwrap());
            }
            answers
        };
        run_on_all_shards(&Config::new(Placement::unpinned(1)), main)
            .unwrap()
            .remove(0)
    }

    #[test]
    fn plain_functions_and_what_handlers_spawn_run_in_the_group_and_others_do_not() {
        let answers = answers(&["/slow", "/slow/spawned", "/fast"]);
        assert_eq!(answers, ["slow", "slow", "main"]);
    }

    #[test]
    #[should_panic(expected = "the handler's own")]
    fn a_panic_comes_out_where_the_answer_is_waited_for() {
        let main = |_| async {
            let panics = || -> Response { panic!("the handler's own") };
            let router = Router::new(()).get("/", panics);
            let router = router.layer(InGroup::new(Group::start("slow", 10)));
            router.call(Request::get("/")).response().await;
        };
        run_on_all_shards(&Config::new(Placement::unpinned(1)), main).unwrap();
    }
}
