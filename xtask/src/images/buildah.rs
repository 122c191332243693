//! Buildah with a storage of its own for one build, of which nothing stays but the archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::base;
use crate::{command, workspace};

/// A storage that lives as long as this value. The user's own images are not touched.
pub struct Storage(TempDir);

impl Storage {
    pub fn new() -> Result<Self> {
        let parent = workspace::machine_state().join("images-cache");
        fs::create_dir_all(&parent).with_context(|| format!("cannot create {}", parent.display()))?;
        tempfile::Builder::new()
            .prefix("storage-")
            .tempdir_in(&parent)
            .map(Self)
            .with_context(|| format!("cannot create a folder in {}", parent.display()))
    }

    /// Takes a base image in, under the name that Containerfiles use for it.
    pub fn add_base(&self, base: &base::Made) -> Result<()> {
        let container = command::output(self.buildah().args(["from", "scratch"]))?;
        let container = container.trim();
        command::output(
            self.buildah()
                .args(["add", "--quiet", container])
                .arg(&base.archive)
                .arg("/"),
        )?;
        command::output(self.buildah().args([
            "commit",
            "--quiet",
            "--rm",
            "--disable-compression",
            container,
            &base.reference,
        ]))?;
        Ok(())
    }

    /// Builds the Containerfile of a context folder.
    pub fn build(&self, context: &Path, reference: &str, arguments: &[(&str, String)]) -> Result<()> {
        let mut build = self.buildah();
        build.args(["build", "--pull=never", "--tag", reference]);
        for (name, value) in arguments {
            build.arg(format!("--build-arg={name}={value}"));
        }
        command::output(build.arg(context))?;
        Ok(())
    }

    /// Writes an image to an archive that container runtimes import.
    pub fn export(&self, reference: &str, archive: &Path) -> Result<()> {
        command::output(
            self.buildah()
                .args(["push", "--quiet", reference])
                .arg(format!("docker-archive:{}:{reference}", archive.display())),
        )?;
        Ok(())
    }

    /// `vfs` and `chroot` ask nothing of the kernel: no overlay, no namespaces.
    fn buildah(&self) -> Command {
        let mut buildah = super::with_usual_umask("buildah");
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
