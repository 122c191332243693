//! What of a specification cannot work.

use crate::ingest_token::TOKEN;
use crate::reason::Reason;

/// A specification that cannot work, in words for the person who wrote it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Invalid {
    #[error(
        "this operator has no image for PostgreSQL {wanted}: set spec.database.version to one of {known}, or spec.database.image"
    )]
    UnknownVersion { wanted: String, known: String },
    #[error("spec.{field} {value:?} is no quantity: write a number with a unit, such as {example}")]
    Quantity {
        field: &'static str,
        value: String,
        example: &'static str,
    },
    #[error(
        "spec.{field} has the key {key:?}, which is none of a label or an annotation: write a name of at most 63 letters, digits, '-', '_' and '.', with a letter or digit first and last, and before it, if need be, a domain and a slash, such as example.com/team"
    )]
    Key { field: &'static str, key: String },
    #[error("spec.database.parameters: {name:?} is not set: {why}")]
    Parameter { name: String, why: String },
    #[error(
        "{kind} {name} exists already and is not of this environment: delete or rename it, or give the environment another name"
    )]
    NameTaken { kind: &'static str, name: String },
    /// Never with what the Secret holds.
    #[error(
        "the {TOKEN} of Secret {secret} is not 16 to 128 visible ASCII characters, without blanks and line breaks: correct it, or remove the key and one is made; until then the token before it stays valid"
    )]
    IngestToken { secret: String },
}

impl Invalid {
    /// The reason for a condition.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::UnknownVersion { .. }
            | Self::Quantity { .. }
            | Self::Key { .. }
            | Self::Parameter { .. } => Reason::InvalidSpec,
            Self::NameTaken { .. } => Reason::NameTaken,
            Self::IngestToken { .. } => Reason::InvalidSecret,
        }
    }
}
