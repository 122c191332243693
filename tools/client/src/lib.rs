//! An environment as its users know it: kubectl, Helm, HTTP, Prometheus, a browser, waiting for conditions, and reading a
//! dump's text. Knows nothing of the operator's or the API's code.

pub mod browser;
pub mod dump;
pub mod environment;
pub mod helm;
pub mod http;
pub mod kubectl;
pub mod monitoring;
mod program;
pub mod prometheus;
pub mod proxy;
pub mod service;
pub mod wait;
