//! A test as libtest-mimic takes it.

use anyhow::Result;
use libtest_mimic::{Failed, Trial};

/// A test under its name, with its whole chain of causes when it fails.
pub fn trial(name: &str, test: fn() -> Result<()>) -> Trial {
    Trial::test(name, move || {
        test().map_err(|error| Failed::from(format!("{error:?}")))
    })
}
