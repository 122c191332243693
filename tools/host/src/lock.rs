//! Locks of this machine: whoever holds a file's lock is alone at what the file stands for, whichever clone it is of. The
//! file says who that is.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::terminal;

/// Takes the lock of a file, and says what it waits for, and for whom, while somebody else holds it. It is given back when
/// the value is dropped or the process ends.
pub fn hold(path: &Path, waits_for: &str) -> Result<File> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut told = false;
    loop {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // Not emptied: somebody else may have written into it who they are.
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        if file.try_lock().is_err() {
            if !told {
                terminal::note(format_args!("waiting for {waits_for}{}", holder(path)));
                told = true;
            }
            file.lock()
                .with_context(|| format!("cannot lock {}", path.display()))?;
        }
        // Whoever held it may have removed the file, as `down --purge` does; others then lock another one.
        let inode = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        let locked = file.metadata().map(|metadata| inode(&metadata)).ok();
        if locked.is_some() && locked == fs::metadata(path).map(|metadata| inode(&metadata)).ok() {
            file.set_len(0)
                .and_then(|()| file.write_all(this_process().as_bytes()))
                .with_context(|| format!("cannot write into {}", path.display()))?;
            return Ok(file);
        }
    }
}

/// This process, as whoever waits for it is told.
fn this_process() -> String {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let arguments = arguments.join(" ".as_ref());
    format!("process {}: {}", std::process::id(), arguments.display())
}

/// Who holds a lock, as they wrote it down.
fn holder(path: &Path) -> String {
    match fs::read_to_string(path) {
        Ok(holder) if !holder.is_empty() => format!(" ({holder})"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn whoever_waits_is_told_for_whom() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("build");
        fs::write(&path, "process 1: a command with many arguments, which has ended").unwrap();
        let _first = hold(&path, "nobody").unwrap();
        let told = holder(&path);
        let this = format!(" (process {}: ", std::process::id());
        assert!(told.starts_with(&this) && !told.contains("has ended"), "{told}");
    }

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
