//! Where the tests of the parts put what they throw away: hundreds of databases, of a thousand files each. In memory,
//! where there is enough: of a disk's file system, making and removing those files is a fifth of all that they cost.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use host::preflight;

/// POSIX's shared memory, a file system in memory on every Linux; of containers it may be small.
const MEMORY: &str = "/dev/shm";
const PREFIX: &str = "rates-test-";
/// Held for as long as the folder is used.
const LOCK: &str = ".lock";

/// The tests were seen to take 4.4 GiB of it, and they need memory for themselves.
const FREE: u64 = 8 * 1024 * 1024 * 1024;

/// A folder that is gone with this value.
pub struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    pub fn new() -> Result<Self> {
        let memory = Path::new(MEMORY);
        if memory.is_dir() && is_roomy(memory) {
            clear(memory);
            Self::within(memory)
        } else {
            Self::within(&std::env::temp_dir())
        }
    }

    fn within(parent: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(parent)
            .with_context(|| format!("cannot make a folder in {}", parent.display()))?;
        // As /tmp: databases are of users of their own.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o1777))
            .with_context(|| format!("cannot set the mode of {}", folder.path().display()))?;
        let lock = lock(folder.path()).with_context(|| format!("cannot lock {}", folder.path().display()))?;
        Ok(Self { folder, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The lock, which has its name only once it is held: another run must not take the folder for one that was left.
fn lock(folder: &Path) -> io::Result<File> {
    let unnamed = folder.join(".new-lock");
    let file = File::create(&unnamed)?;
    file.lock()?;
    fs::rename(unnamed, folder.join(LOCK))?;
    Ok(file)
}

/// Whether the folder takes that much, and there is that much memory.
fn is_roomy(folder: &Path) -> bool {
    let takes = preflight::free_disk(folder).unwrap_or(0);
    let memory = fs::read_to_string("/proc/meminfo").map_or(0, |text| available(&text));
    takes.min(memory) >= FREE
}

/// The bytes that `/proc/meminfo` says can be had.
fn available(text: &str) -> u64 {
    text.lines()
        .find_map(|line| {
            let kib = line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?;
            kib.parse::<u64>().ok()
        })
        .map_or(0, |kib| kib * 1024)
}

/// Removes what runs left that were cut off: nobody holds its lock. What cannot be removed stays.
fn clear(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let is_left = || File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_ours && is_left() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_left_is_cleared_and_what_is_used_stays() {
        let parent = tempfile::tempdir().unwrap();
        let used = Scratch::within(parent.path()).unwrap();
        let left = parent.path().join(format!("{PREFIX}left"));
        fs::create_dir(&left).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        let foreign = parent.path().join("foreign");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join(LOCK), "").unwrap();
        clear(parent.path());
        assert!(used.path().exists() && foreign.exists() && !left.exists());
    }

    #[test]
    fn others_may_make_files_in_it() {
        let scratch = Scratch::new().unwrap();
        let mode = fs::metadata(scratch.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o1777);
    }

    #[test]
    fn memory_is_what_the_kernel_says_can_be_had() {
        let text = "MemTotal:       24683520 kB\nMemAvailable:   22630400 kB\n";
        assert_eq!(available(text), 22_630_400 * 1024);
        assert_eq!(available("MemTotal: 1 kB\n"), 0);
    }
}
