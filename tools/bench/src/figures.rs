//! The file with all that a benchmark measured, for other programs.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Serialize;

use host::workspace;

/// Where the figures are: beside what is built.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    workspace::root().join("target/bench").join(name)
}

/// Writes them, and gives the file's path.
pub fn write(name: &str, figures: &impl Serialize) -> Result<PathBuf> {
    let path = path(name);
    let mut text = serde_json::to_string_pretty(figures).context("cannot write the figures as JSON")?;
    text.push('\n');
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&path, text))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The name of the file of figures: a part of a benchmark does not replace those of the whole.
#[must_use]
pub fn of(name: &str, whole: bool) -> String {
    let part = if whole { "" } else { "-part" };
    format!("{name}{part}.json")
}
