//! `/batches`: prices that are taken in, and what became of them.

mod answer;
mod get;
mod list;
mod post;
mod problem;

pub use get::get;
pub use list::get as list;
pub use post::post;
