//! Faults of an environment's database under load, one after the other: what the test of the whole does with a few, and
//! `cargo xtask bench failover` with all. The faults here need kubectl alone; those of nodes are in `tools/bench`.

mod database;
mod fault;
mod faults;
mod play;
mod report;
mod scene;
mod stage;

pub use database::{Database, Pod};
pub use fault::{Expected, Fault, Primary, Reads};
pub use faults::Simple;
pub use play::Play;
pub use report::{Report, Round, Row};
pub use scene::Scene;
pub use stage::Stage;
