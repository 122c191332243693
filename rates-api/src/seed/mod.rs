//! The seed: the bundled dump, and the step that makes a loaded and migrated database the served one.

pub mod dump;
pub mod load;
pub mod publish;
