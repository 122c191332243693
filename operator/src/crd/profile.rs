//! `spec.profile`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an environment is for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Profile {
    Production,
    Staging,
    #[default]
    Preview,
}
