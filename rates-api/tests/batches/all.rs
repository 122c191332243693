//! The tests of all files here, which themselves use what `mod.rs` has.

use super::{asynchronous, content, faults, idempotency, interleavings, refusals, restarts, slow, writing};
use crate::support::Test;

pub fn tests() -> Vec<Test> {
    [
        asynchronous::tests(),
        content::tests(),
        faults::tests(),
        idempotency::tests(),
        interleavings::tests(),
        refusals::tests(),
        restarts::tests(),
        slow::tests(),
        writing::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
