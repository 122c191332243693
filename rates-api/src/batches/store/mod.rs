//! The rows of `rates_internal.batches`: what is claimed, by whom, and what became of it.
//!
//! Every change names the state that it expects. Whoever was thought dead and comes back finds that its batch is not in
//! that state any more, and can do nothing to it.

mod claim;
mod durable;
mod error;
mod state;

pub use claim::{BatchClaim, adopt, claim, known};
pub use durable::confirm;
pub use error::StoreError;
pub use state::{GivenUp, decide, decide_again, decide_queued, give_up, hold, renew};
