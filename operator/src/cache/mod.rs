//! What exists of all environments, held in memory: a list and a watch for each kind, by label.
//!
//! A reconcile reads from here, and asks the API server only for what has no label of ours. It sees
//! its own writes, because their answers are put here at once; the watches bring what others do.

mod compact;
mod follow;
mod follower;
mod kind;
mod kinds;
mod objects;
mod watched;

pub use compact::Error;
pub use follow::{cannot_list, follow};
pub use follower::Timing;
pub use kind::name_of;
pub use kinds::{Cache, Cached};
pub use objects::Key;
