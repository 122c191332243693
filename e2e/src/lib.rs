//! What the tests of the whole share: kubectl, HTTP, waiting for conditions, and
//! reading a dump's text. Knows nothing of the operator's or the API's code: an
//! environment is known here as its users know it.

pub mod dump;
pub mod environment;
pub mod helm;
pub mod http;
pub mod kubectl;
pub mod load;
pub mod rollouts;
pub mod service;
pub mod wait;
