//! Debian's packages that are unpacked and not installed: their programs, without their services, users and settings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::terminal::Step;
use crate::{lock, workspace};

/// What packages hold, unpacked once for all clones.
pub struct Unpacked {
    /// Of the folder, and for people.
    pub name: &'static str,
    pub packages: &'static [&'static str],
    /// A file that must be there, relative to the root of the packages' files.
    pub program: &'static str,
}

/// The server and `promtool`, as Debian 12 has them.
pub const PROMETHEUS: Unpacked = Unpacked {
    name: "prometheus",
    packages: &["prometheus"],
    program: "usr/bin/promtool",
};

impl Unpacked {
    /// The folder with the packages' files; fetches them where this machine does not have them yet.
    pub fn folder(&self) -> Result<PathBuf> {
        let tools = workspace::machine_state().join("tools");
        let folder = tools.join(format!("debian-{}", self.name));
        if folder.join(self.program).exists() {
            return Ok(folder);
        }
        let _lock = lock::hold(
            &workspace::machine_state().join(format!("locks/{}", self.name)),
            "another clone that unpacks the same packages",
        )?;
        if !folder.join(self.program).exists() {
            let step = Step::begin(format_args!("fetch {}", self.name));
            fs::create_dir_all(&tools).with_context(|| format!("cannot create {}", tools.display()))?;
            self.fetch(&tools, &folder)?;
            step.done();
        }
        Ok(folder)
    }

    fn fetch(&self, tools: &Path, folder: &Path) -> Result<()> {
        let work = tempfile::tempdir_in(tools)
            .with_context(|| format!("cannot make a folder in {}", tools.display()))?;
        // The lists may be old; what counts is whether the packages can be had.
        let _ = command::output(Command::new("apt-get").args(["--quiet", "update"]));
        command::output(
            Command::new("apt-get")
                .args(["--quiet", "download"])
                .args(self.packages)
                .current_dir(work.path()),
        )?;
        let content = work.path().join("content");
        for entry in fs::read_dir(work.path()).context("cannot list the packages")? {
            let package = entry?.path();
            if package.extension().is_some_and(|extension| extension == "deb") {
                command::output(Command::new("dpkg").arg("--extract").arg(&package).arg(&content))?;
            }
        }
        if !content.join(self.program).exists() {
            bail!(
                "Debian's package {} has no {}",
                self.packages.join(", "),
                self.program
            );
        }
        fs::rename(&content, folder).with_context(|| format!("cannot create {}", folder.display()))
    }
}
