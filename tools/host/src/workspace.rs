//! Where things are in the clone.

use std::path::{Path, PathBuf};

/// The root of the clone that this binary was built from.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map_or_else(PathBuf::new, Path::to_path_buf)
}

/// The folder of the one profile that is built.
pub fn binaries() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), PathBuf::from)
        .join("release")
}

/// What outlives a clone: clusters, built tools, images. Any clone finds it here.
#[must_use]
pub fn machine_state() -> PathBuf {
    PathBuf::from("/var/lib/rates-local-cluster")
}
