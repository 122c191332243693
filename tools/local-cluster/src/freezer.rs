//! Stopping every process of a control group at once, and letting them go on. A frozen process runs no instruction and
//! gets no signal; the kernel goes on with its connections.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::group_tree::walk;

/// A process in the middle of a write stops after it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stops all that is in a group or below, and waits until it has.
pub fn freeze(group: &Path) -> Result<()> {
    let (v1, v2) = (group.join("freezer.state"), group.join("cgroup.freeze"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Written again and again: what was just being started is missed by the first time.
        let frozen = if v1.exists() {
            write(&v1, "FROZEN")?;
            read(&v1)?.trim() == "FROZEN"
        } else {
            write(&v2, "1")?;
            read(&group.join("cgroup.events"))?
                .lines()
                .any(|line| line == "frozen 1")
        };
        if frozen {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "not all processes of {} stop within {} s",
                group.display(),
                PATIENCE.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Lets the group, and every group below, go on. What is not frozen stays as it is.
pub fn thaw_all(group: &Path) {
    walk(group, &mut |group| {
        for (file, value) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
            let file = group.join(file);
            if file.exists() {
                // The group may have gone meanwhile.
                let _ = fs::write(file, value);
            }
        }
    });
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn write(file: &Path, value: &str) -> Result<()> {
    fs::write(file, value).with_context(|| format!("cannot write {value:?} to {}", file.display()))
}
