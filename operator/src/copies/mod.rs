//! Environments that copy another one's data, and those that are copied: what both sides have to agree on.
//!
//! The reader makes a login of its own, in its Secret `NAME-copy`. The source allows it in `spec.sharing`, and hands the
//! login's verifier to its database pods, which alone let it in.

mod consent;
mod login;
mod neighbours;
mod reader;
mod source;

pub use consent::shared_with;
pub use login::{CopyLogin, PASSWORD, URI, USERNAME, VERIFIER, username};
pub use neighbours::Neighbours;
pub use reader::{Reader, readers};
pub use source::{EnvironmentName, Source, source};
