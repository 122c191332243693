//! A primary with standbys, and an address that leads from one server to the next: nothing is acknowledged that can be
//! lost, nothing is read from a server that was the primary, and reads wait for the next one.

mod acknowledgements;
mod cluster;
mod moves;
mod timelines;

use crate::support::Test;

pub fn tests() -> Vec<Test> {
    [acknowledgements::tests(), moves::tests(), timelines::tests()]
        .into_iter()
        .flatten()
        .collect()
}
