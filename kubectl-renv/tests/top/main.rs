//! `kubectl renv top` against a real Prometheus on loopback, with recording rules over metrics that a test sets.
//!
//! `RATES_TEST_PROMETHEUS` names Debian's program; `cargo xtask test` sets it.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what helps tests fails as tests do"
)]

mod absent;
mod shown;
mod stage;
mod terminal;
