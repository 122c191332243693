//! `kubectl renv` against a real etcd and kube-apiserver on loopback. There is no operator: the tests play its part, and
//! write what it would.
//!
//! `RATES_TEST_KUBE` and `RATES_TEST_KUBECTL` name the programs; `cargo xtask test` sets them.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what helps tests fails as tests do"
)]

mod asked;
mod made;
mod pull_requests;
mod reported;
mod shown;
mod stage;
