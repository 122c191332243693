//! `cargo xtask test`: every test, and what each needs.
