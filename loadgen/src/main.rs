//! sunstar's load generator: closed loop, exact accounting, verified answers.
#![expect(dead_code, reason = "the engine that uses the parts comes next")]

mod codec;
mod duration;
mod head;
mod latency;
mod learned;
mod ledger;
mod number;
mod oracle;
mod payload;
mod stats;
mod template;
mod url;

fn main() {}
