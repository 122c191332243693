//! Turns a `RatesEnvironment` into a running system.
//!
//! In reading order: what people write (`crd`) and what follows from its name (`identity`); the
//! pipeline, one module a verb, with `reconcile` as its table of contents; and the process around
//! it.

pub mod activator_ports;
pub mod annotations;
pub mod crd;
pub mod digest;
pub mod error_chain;
pub mod http_route;
pub mod identity;
pub mod managed_fields;
pub mod patroni;
pub mod patroni_keys;
pub mod pod_monitor;
pub mod quantity;
pub mod reason;
pub mod settings;
pub mod surroundings;

pub mod events;
pub mod expire;
mod notices;
pub mod reconcile;

pub mod cache;

pub mod observe;
pub mod observed;
pub mod previews;
pub mod refusals;

mod pods;

pub mod sleeping;
pub mod starts;
mod turns;

pub mod password;

pub mod copies;
pub mod credentials;
pub mod ingest_token;
pub mod plan;
pub mod token_rotation;

pub mod build;

pub mod apply;

pub mod status;

pub mod controller;
pub mod fence;
pub mod health;
pub mod leader;
pub mod metrics;
pub mod run;

pub mod activator;
