//! `kubectl renv`: rates environments in a terminal.
//!
//! In reading order: what several commands share (durations, text, names, flags, failures); the cluster, an
//! environment's object, what the operator made for it, and how it is watched; the commands; of `top`, the rungs of the
//! ladder, where samples come from, the ladder made of them, why there may be none, and how ladders are shown. The
//! crate asks the Kubernetes API and a Prometheus. `plan` alone knows the operator's code, which it asks what it would make.

pub mod canvas;
pub mod duration;
pub mod failure;
pub mod flags;
pub mod key;
pub mod redact;

pub mod environment;

pub mod cluster;

pub mod parts;

pub mod watched;

pub mod annotate;
pub mod gone;
pub mod ready;

pub mod create;
pub mod database;
pub mod lifetime;
pub mod list;
pub mod logs;
pub mod psql;
pub mod status;

pub mod plan;
pub mod preview;
pub mod report;

pub mod rung;

pub mod prometheus;

pub mod ladder;

pub mod absence;

pub mod draw;

pub mod top;

pub mod complete;

pub mod cli;
