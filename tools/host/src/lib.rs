//! What the tools need of the machine: other programs, the terminal, Debian packages, the clone's folders.
//! It knows nothing of clusters and images.

pub mod command;
pub mod lock;
pub mod packages;
pub mod preflight;
pub mod terminal;
pub mod unpacked;
pub mod workspace;
