//! Buildah with a storage of its own for one build, of which nothing stays but the archive.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::cache::work_folder;
use super::reproducible::{SOURCE_DATE_EPOCH, with_usual_umask};
use host::command;

/// A storage that lives as long as this value. The user's own images are not touched.
pub struct Storage(TempDir);

impl Storage {
    pub fn new() -> Result<Self> {
        work_folder().map(Self)
    }

    /// Makes an image of a root file system's archive.
    pub fn import(&self, root: &Path, reference: &str) -> Result<()> {
        let container = command::output(self.buildah().args(["from", "scratch"]))?;
        let container = container.trim();
        command::output(
            self.buildah()
                .args(["add", "--quiet", container])
                .arg(root)
                .arg("/"),
        )?;
        command::output(self.buildah().args([
            "commit",
            "--quiet",
            "--rm",
            "--disable-compression",
            "--timestamp",
            SOURCE_DATE_EPOCH,
            container,
            reference,
        ]))?;
        Ok(())
    }

    /// Takes in an archive that `export` wrote, under the name it was exported with.
    pub fn load(&self, archive: &Path) -> Result<()> {
        command::output(
            self.buildah()
                .args(["pull", "--quiet"])
                .arg(format!("docker-archive:{}", archive.display())),
        )?;
        Ok(())
    }

    /// Builds the Containerfile of a context folder.
    pub fn build(&self, context: &Path, reference: &str, arguments: &[(&str, String)]) -> Result<()> {
        let mut build = self.buildah();
        build.args(["build", "--pull=never", "--tag", reference]);
        build.args(["--timestamp", SOURCE_DATE_EPOCH]);
        for (name, value) in arguments {
            build.arg(format!("--build-arg={name}={value}"));
        }
        command::output(build.arg(context))?;
        Ok(())
    }

    /// Writes an image to an archive that container runtimes import.
    pub fn export(&self, reference: &str, archive: &Path) -> Result<()> {
        // Buildah adds to an archive that is there.
        match fs::remove_file(archive) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", archive.display()));
            }
            _ => {}
        }
        command::output(
            self.buildah()
                .args(["push", "--quiet", reference])
                .arg(format!("docker-archive:{}:{reference}", archive.display())),
        )?;
        Ok(())
    }

    /// `vfs` and `chroot` ask nothing of the kernel: no overlay, no namespaces.
    fn buildah(&self) -> Command {
        let mut buildah = with_usual_umask("buildah");
        buildah
            .env("STORAGE_DRIVER", "vfs")
            .env("BUILDAH_ISOLATION", "chroot")
            .arg("--root")
            .arg(self.folder("root"))
            .arg("--runroot")
            .arg(self.folder("run"));
        buildah
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
