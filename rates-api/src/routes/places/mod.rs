//! `GET /ports` and `GET /regions`: the codes and slugs that `GET /rates` takes.

mod get;

pub use get::{ports, regions};

/// Code, name and region of every port.
pub const PORTS: &str = "SELECT code, name, parent_slug FROM public.ports ORDER BY code";
/// Slug, name and parent of every region.
pub const REGIONS: &str = "SELECT slug, name, parent_slug FROM public.regions ORDER BY slug";
