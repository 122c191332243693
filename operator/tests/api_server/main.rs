//! Tests against a real API server: what it takes and refuses, and what the operator does to it.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what helps tests fails as tests do"
)]

mod activator;
mod admission;
mod admission_api;
mod admission_changes;
mod admission_lifetime;
mod admission_sharing;
mod catching_up;
mod controlling;
mod copies;
mod copies_of_changing_sources;
mod drift;
mod expiring;
mod explain;
mod exposing;
mod following;
mod ingest_token;
mod installing;
mod killed;
mod killed_later;
mod leading;
mod leaving;
mod line;
mod monitoring;
mod mortal;
mod namespaced;
mod nulls;
mod objects;
mod pacing;
mod parameters;
mod placing;
mod process;
mod program;
mod queueing;
mod reading;
mod reconciling;
mod replicated;
mod replicating;
mod restored;
mod restricted;
mod revoking;
mod rolling_back;
mod rotating;
mod rotation;
mod samples;
mod server;
mod sleeping;
mod sleeping_by_time;
mod stage;
mod suspending;
mod trouble;
mod upgrading;
mod volumes;
