//! A program of one of Debian's packages, without the packages that it depends on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::cache;
use super::debian::Mirror;
use host::command;
use host::terminal::Step;

/// A program in a package.
pub struct Program {
    pub package: &'static str,
    pub suite: &'static str,
    /// Where the package has it.
    path: &'static str,
}

/// Of a Go program, which needs the C library alone.
pub const POSTGRES_EXPORTER: Program = Program {
    package: "prometheus-postgres-exporter",
    suite: "trixie",
    path: "usr/bin/prometheus-postgres-exporter",
};

impl Program {
    /// The program, fetched by apt with this machine's settings where this machine does not have it yet. Which version that
    /// is, the suite says: it counts in the image's tag by its content.
    pub fn file(&self) -> Result<PathBuf> {
        let file = cache::cache().join(format!("{}-{}", self.package, self.suite));
        if !file.exists() {
            let step = Step::begin(format_args!("fetch {} ({})", self.package, self.suite));
            self.fetch(&file)?;
            step.done();
        }
        Ok(file)
    }

    fn fetch(&self, file: &Path) -> Result<()> {
        let work = cache::work_folder()?;
        let folder = work.path();
        for folder in ["lists/partial", "cache/archives/partial"].map(|name| folder.join(name)) {
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let sources = folder.join("sources.list");
        fs::write(
            &sources,
            Mirror::of_this_machine()?.sources(self.suite).join("\n") + "\n",
        )
        .with_context(|| format!("cannot write {}", sources.display()))?;
        // Nothing of what this machine has installed is looked at or changed.
        let apt = || {
            let mut apt = Command::new("apt-get");
            apt.current_dir(folder)
                .args(["--quiet", "-o", "APT::Sandbox::User=root"]);
            for (option, value) in [
                ("Dir::Etc::SourceList", "sources.list"),
                ("Dir::State::Lists", "lists"),
                ("Dir::Cache", "cache"),
            ] {
                apt.arg("-o")
                    .arg(format!("{option}={}", folder.join(value).display()));
            }
            apt.args([
                "-o",
                "Dir::Etc::SourceParts=/dev/null",
                "-o",
                "Dir::State::Status=/dev/null",
            ]);
            apt
        };
        command::output(apt().arg("update"))?;
        command::output(apt().args(["download", self.package]))?;
        let package = downloaded(folder)?;
        command::output(
            Command::new("dpkg-deb")
                .arg("--extract")
                .arg(&package)
                .arg(folder.join("root")),
        )?;
        let program = folder.join("root").join(self.path);
        fs::rename(&program, file).with_context(|| format!("cannot write {}", file.display()))
    }
}

/// The only package in the folder.
fn downloaded(folder: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            return Ok(path);
        }
    }
    anyhow::bail!("apt-get download left no package")
}
