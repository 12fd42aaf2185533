//! sunstar's load generator: closed loop, exact accounting, verified answers.
#![expect(dead_code, reason = "the engine that uses the parts comes next")]

mod codec;
mod connection;
mod control;
mod duration;
mod engine;
mod head;
mod latency;
mod learned;
mod ledger;
mod number;
mod oracle;
mod payload;
mod plan;
mod stats;
mod stint;
mod tally;
mod template;
mod url;
mod watch;

fn main() {}
