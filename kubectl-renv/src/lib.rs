//! `kubectl renv`: rates environments in a terminal.
//!
//! In reading order: environments' names, and the rungs of the ladder with what each says to do; where samples come from;
//! the ladder of an environment, made of them; why there may be none; how ladders are shown; the commands. The crate reads Prometheus and the Kubernetes API. It
//! writes neither, and knows nothing of the operator's code.

pub mod key;
pub mod rung;

pub mod prometheus;

pub mod ladder;

pub mod cluster;

pub mod absence;

pub mod draw;

pub mod top;

pub mod cli;
