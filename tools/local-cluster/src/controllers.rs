//! The controllers of version 2 of the control groups at the machine's root. Pods need some that are off on a stock
//! Debian. Those that the clusters turn on are noted, and off again once no cluster is left.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::process::boot_id;
use super::state::{self, write_json};
use host::lock;

/// What a kubelet insists on, and what it can use.
const NEEDED: [&str; 6] = ["cpu", "cpuset", "hugetlb", "io", "memory", "pids"];

/// The root's controllers, and where it is noted what was changed.
#[derive(Debug)]
pub struct RootControllers {
    root: PathBuf,
    notes: PathBuf,
}

/// What the clusters turned on. With another boot it is off again by itself.
#[derive(Debug, Deserialize, Serialize)]
struct Note {
    boot: String,
    enabled: BTreeSet<String>,
}

impl RootControllers {
    pub fn of(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            notes: Path::new(state::ROOT).join("controllers.json"),
        }
    }

    /// One cluster at a time is started or removed, as far as this is concerned.
    pub fn hold() -> Result<File> {
        lock::hold(
            &Path::new(state::ROOT).join("locks/controllers"),
            "another cluster's control groups",
        )
    }

    /// What is on now, for people and comparisons.
    pub fn enabled(&self) -> String {
        let text = fs::read_to_string(self.control()).unwrap_or_default();
        text.trim().to_owned()
    }

    /// Turns on what pods need.
    pub fn enable(&self) -> Result<()> {
        let available = fs::read_to_string(self.root.join("cgroup.controllers"))
            .with_context(|| format!("cannot read the controllers of {}", self.root.display()))?;
        let before = self.enabled();
        let is_in = |text: &str, name: &str| text.split_whitespace().any(|word| word == name);
        let missing: Vec<&str> = NEEDED
            .into_iter()
            .filter(|name| is_in(&available, name) && !is_in(&before, name))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut note = self.note()?;
        note.enabled.extend(missing.iter().map(|&name| name.to_owned()));
        // First, so that nothing is on that nobody would turn off.
        write_json(&self.notes, &note)?;
        for name in missing {
            // Who manages the machine's root may keep it from others; the clusters' own groups then say what is missing.
            let _ = fs::write(self.control(), format!("+{name}"));
        }
        Ok(())
    }

    /// Turns off again what was turned on.
    pub fn restore(&self) -> Result<()> {
        for name in self.note()?.enabled {
            // Refused where somebody else has come to use it, and then it is not for us to turn off.
            let _ = fs::write(self.control(), format!("-{name}"));
        }
        match fs::remove_file(&self.notes) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.notes.display()))
            }
            _ => Ok(()),
        }
    }

    fn control(&self) -> PathBuf {
        self.root.join("cgroup.subtree_control")
    }

    /// The note of this boot.
    fn note(&self) -> Result<Note> {
        let boot = boot_id()?;
        let noted = fs::read(&self.notes)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        Ok(noted.filter(|note: &Note| note.boot == boot).unwrap_or(Note {
            boot,
            enabled: BTreeSet::new(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root of a stock Debian 12, as files: each shows what was written to it last.
    fn debian() -> (tempfile::TempDir, RootControllers) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_path_buf();
        fs::write(
            root.join("cgroup.controllers"),
            "cpuset cpu io memory hugetlb pids rdma misc\n",
        )
        .unwrap();
        fs::write(
            root.join("cgroup.subtree_control"),
            "cpu io memory hugetlb pids\n",
        )
        .unwrap();
        let notes = root.join("notes.json");
        (folder, RootControllers { root, notes })
    }

    #[test]
    fn what_is_missing_is_turned_on_and_off_again() {
        let (_folder, controllers) = debian();
        controllers.enable().unwrap();
        assert_eq!(controllers.enabled(), "+cpuset");
        controllers.restore().unwrap();
        assert_eq!(controllers.enabled(), "-cpuset");
        assert!(!controllers.notes.exists());
    }

    #[test]
    fn what_was_on_before_stays_on_and_a_second_cluster_forgets_nothing() {
        let (_folder, controllers) = debian();
        controllers.enable().unwrap();
        // As the kernel would show it to the second one.
        fs::write(controllers.control(), "cpuset cpu io memory hugetlb pids\n").unwrap();
        controllers.enable().unwrap();
        assert_eq!(
            controllers.enabled(),
            "cpuset cpu io memory hugetlb pids",
            "nothing is written"
        );
        controllers.restore().unwrap();
        assert_eq!(controllers.enabled(), "-cpuset");
        controllers.restore().unwrap();
    }

    #[test]
    fn a_note_of_another_boot_counts_for_nothing() {
        let (_folder, controllers) = debian();
        let note = Note {
            boot: "another".to_owned(),
            enabled: BTreeSet::from(["io".to_owned()]),
        };
        write_json(&controllers.notes, &note).unwrap();
        controllers.restore().unwrap();
        assert_eq!(controllers.enabled(), "cpu io memory hugetlb pids");
    }
}
