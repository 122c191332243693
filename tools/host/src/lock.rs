//! Locks of this machine: whoever holds a file's lock is alone at what the file stands for, whichever clone it is of.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::terminal;

/// Takes the lock of a file, and says what it waits for while somebody else holds it. It is given back when the value
/// is dropped or the process ends.
pub fn hold(path: &Path, waits_for: &str) -> Result<File> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut told = false;
    loop {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let file = File::create(path).with_context(|| format!("cannot open {}", path.display()))?;
        if file.try_lock().is_err() {
            if !told {
                terminal::note(format_args!("waiting for {waits_for}"));
                told = true;
            }
            file.lock()
                .with_context(|| format!("cannot lock {}", path.display()))?;
        }
        // Whoever held it may have removed the file, as `down --purge` does; others then lock another one.
        let inode = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        let locked = file.metadata().map(|metadata| inode(&metadata)).ok();
        if locked.is_some() && locked == fs::metadata(path).map(|metadata| inode(&metadata)).ok() {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn one_whose_file_was_removed_while_it_was_waited_for_is_taken_on_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks/build");
        let first = hold(&path, "nobody").unwrap();
        let released = AtomicBool::new(false);
        thread::scope(|scope| {
            let second = scope.spawn(|| {
                let file = hold(&path, "the first").unwrap();
                assert!(released.load(Ordering::SeqCst), "two hold it at once");
                file
            });
            // As `down --purge` does.
            fs::remove_dir_all(folder.path().join("locks")).unwrap();
            released.store(true, Ordering::SeqCst);
            drop(first);
            let second = second.join().unwrap();
            let third = File::open(&path).unwrap();
            assert!(third.try_lock().is_err(), "the file that is there is locked");
            drop(second);
        });
    }
}
