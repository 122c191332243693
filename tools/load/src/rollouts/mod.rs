//! Rollouts of an environment's API under load, one after the other, each with a batch in flight: what the test of the
//! whole does with a few, and `cargo xtask bench rollout` with all.

mod broken;
mod change;
mod images;
mod protection;
mod report;
mod stage;
mod subject;

pub use broken::{Broken, Trouble};
pub use change::{Change, Expected};
pub use images::Images;
pub use protection::{Protection, Rest};
pub use report::{Kind, Report, Step};
pub use stage::Stage;
pub use subject::{Play, Shape, Subject};
