//! Tests of what is answered; the files mirror the paths.

pub mod caching;
pub mod idle;
pub mod places;
pub mod probes;
pub mod protocol;
pub mod rates;
pub mod root;

use crate::support::Test;

pub fn tests() -> Vec<Test> {
    [
        caching::tests(),
        idle::tests(),
        places::tests(),
        probes::tests(),
        protocol::tests(),
        rates::tests(),
        root::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
