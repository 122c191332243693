//! The rates API: average shipping prices per day, from PostgreSQL, over HTTP.
//!
//! In reading order, from what imports nothing of this crate to what holds it together: settings and logs; the database
//! and its schema; what is read from it and written to it; connections; what is answered; the commands. No module imports
//! one that is below it in this list. The crate knows nothing of Kubernetes beyond files, environment variables and
//! signals.

pub mod duration;
pub mod environment;
pub mod log;
pub mod report;

pub mod counters;

pub mod migrations;

pub mod database;
pub mod migrate;
pub mod seed;

pub mod usage;

pub mod day;
pub mod readiness;

pub mod batches;
pub mod readers;

pub mod places;
pub mod rates;

pub mod problem;
pub mod representation;

pub mod response_cache;
pub mod server;

pub mod metrics;
pub mod service;

pub mod routes;

pub mod trace;

pub mod observe;
pub mod router;

pub mod serve;

pub mod cli;
