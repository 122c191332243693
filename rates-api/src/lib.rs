//! The rates API: average shipping prices per day, from PostgreSQL, over HTTP.
//!
//! In reading order: what the commands are, where the database is, how its schema gets there, how reads reach
//! it, what is answered, and how connections are served and ended. It knows nothing of Kubernetes beyond files,
//! environment variables and signals.

pub mod cli;
pub mod environment;
pub mod log;
pub mod report;

pub mod database;
pub mod migrate;
pub mod seed;

pub mod answers;
pub mod batches;
pub mod readers;
pub mod readiness;

pub mod day;
pub mod metrics;
pub mod observe;
pub mod problem;
pub mod representation;
pub mod router;
pub mod routes;
pub mod trace;

pub mod serve;
pub mod server;
