//! Python programs of an exact version, which no suite of Debian keeps: from `PyPI`, as wheels, which hold no compiled code.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::cache;
use super::digest;
use host::command;
use host::terminal::Step;

/// A wheel as it was published, without what it depends on.
pub struct Wheel {
    name: &'static str,
    version: &'static str,
    pub sha256: &'static str,
}

/// What it depends on is Debian's (`images/postgres/packages.sh`).
pub const PATRONI: Wheel = Wheel {
    name: "patroni",
    version: "4.1.5",
    sha256: "7aad8c1539e6c51c269a8005169dd54ddc7668437b7900fa6099d7894e224c84",
};

impl Wheel {
    /// The wheel, fetched by pip with this machine's settings where this machine does not have it yet.
    pub fn archive(&self) -> Result<PathBuf> {
        let archive = cache::cache().join(self.file_name());
        if !archive.exists() {
            let step = Step::begin(format_args!("fetch {} {}", self.name, self.version));
            self.fetch(&archive)?;
            step.done();
        }
        Ok(archive)
    }

    fn file_name(&self) -> String {
        format!("{}-{}-{}.whl", self.name, self.version, &self.sha256[..16])
    }

    fn fetch(&self, archive: &PathBuf) -> Result<()> {
        let work = cache::work_folder()?;
        command::output(
            Command::new("pip3")
                .args(["download", "--quiet", "--no-deps", "--no-cache-dir"])
                .args(["--only-binary=:all:", "--dest"])
                .arg(work.path())
                .arg(format!("{}=={}", self.name, self.version)),
        )?;
        let found = work
            .path()
            .join(format!("{}-{}-py3-none-any.whl", self.name, self.version));
        let sha256 = digest::of_file(&found)?;
        if sha256 != self.sha256 {
            bail!(
                "{} {} is another wheel than expected: its SHA-256 is {sha256}, not {}",
                self.name,
                self.version,
                self.sha256
            );
        }
        fs::rename(&found, archive).with_context(|| format!("cannot write {}", archive.display()))
    }
}
