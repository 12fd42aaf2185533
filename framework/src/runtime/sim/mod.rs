//! The simulated driver, and the runner that turns all shards on one thread (feature `sim`).

mod driver;
mod peers;
mod run;

pub(crate) use driver::Sim;
pub(crate) use peers::{Peers, take_part};
pub(crate) use run::{is_simulated, run_on_all_shards};
