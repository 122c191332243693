//! Where images and what they are made of are kept on this machine, and for how long.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use host::{lock, workspace};

/// How the names of folders begin that are of no use once their build has ended.
const WORK_PREFIX: &str = "work-";

/// How many archives of one image are kept: other clones may be at other commits.
const ARCHIVES_KEPT: usize = 3;

/// Where the archives are.
pub fn archives() -> PathBuf {
    workspace::machine_state().join("images")
}

/// What archives are made from, and is kept for the next time.
pub fn cache() -> PathBuf {
    workspace::machine_state().join("images-cache")
}

/// A folder for one step, beside the cache so that its files can be renamed into it.
pub fn work_folder() -> Result<TempDir> {
    let cache = cache();
    tempfile::Builder::new()
        .prefix(WORK_PREFIX)
        .tempdir_in(&cache)
        .with_context(|| format!("cannot create a folder in {}", cache.display()))
}

/// One build at a time on a machine, whichever clone it is of.
pub fn hold_builds() -> Result<File> {
    lock::hold(
        &archives().join(".lock"),
        "another build of images on this machine",
    )
}

/// The same, to build. What a killed build left is removed.
pub fn begin_build() -> Result<File> {
    let (archives, cache) = (archives(), cache());
    for folder in [&archives, &cache] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let file = hold_builds()?;
    for entry in fs::read_dir(&cache).with_context(|| format!("cannot list {}", cache.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(WORK_PREFIX) {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(file)
}

pub fn mark_used(archive: &Path) -> Result<()> {
    File::options()
        .append(true)
        .open(archive)
        .and_then(|file| file.set_modified(SystemTime::now()))
        .with_context(|| format!("cannot touch {}", archive.display()))
}

/// Removes the archives of an image or base that were not used for longest.
pub fn prune(folder: &Path, stem: &str) -> Result<()> {
    let mut archives = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_its = name
            .strip_prefix(stem)
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(|rest| rest.strip_suffix(".tar"))
            .is_some_and(|hashes| {
                hashes
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || byte == b'.')
            });
        if is_its {
            archives.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    archives.sort();
    let surplus = archives.len().saturating_sub(ARCHIVES_KEPT);
    for (_, path) in archives.drain(..surplus) {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}
