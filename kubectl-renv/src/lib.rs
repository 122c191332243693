//! `kubectl renv`: rates environments in a terminal.
//!
//! In reading order: the rungs of the ladder and what each says to do; the ladder of an environment, from samples; where
//! the samples come from; how ladders are shown; the commands. The crate reads Prometheus and the Kubernetes API. It
//! writes neither, and knows nothing of the operator's code.

pub mod rung;

pub mod ladder;

pub mod prometheus;

pub mod cluster;

pub mod absence;

pub mod draw;

pub mod top;

pub mod cli;
