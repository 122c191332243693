//! The base images, made from Debian's packages by mmdebstrap, for machines that reach no image registry.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, Result};

use super::buildah::Storage;
use super::debian::{self, Mirror};
use super::digest::{self, Inputs};
use crate::command;
use crate::terminal::Step;

/// Raised when what this module makes of the same declaration changes.
const FORMAT: &str = "2";

/// A root file system to be made.
pub struct Base {
    /// For people and file names.
    pub name: String,
    /// The name that Containerfiles use in `FROM`.
    pub reference: String,
    pub suite: &'static str,
    pub variant: &'static str,
    pub packages: &'static [&'static str],
    /// A script of the clone that runs inside the root, with one argument.
    pub inside: Option<(PathBuf, &'static str)>,
    /// A script of the clone that runs last, with the root's path.
    pub finish: PathBuf,
}

/// A base that is there.
pub struct Made {
    /// Its archive holds it under the name that Containerfiles use.
    pub archive: PathBuf,
    /// The hash of the archive's content: a base that was made anew is another one.
    pub identity: String,
}

impl Base {
    /// Gives the base, making it where this machine has not made it yet.
    pub fn make(&self) -> Result<Made> {
        let folder = super::cache();
        let stem = format!("base-{}-{}", self.name, self.key()?);
        let archive = folder.join(format!("{stem}.tar"));
        let identity_file = folder.join(format!("{stem}.sha256"));
        if archive.exists() && identity_file.exists() {
            let identity = fs::read_to_string(&identity_file)
                .with_context(|| format!("cannot read {}", identity_file.display()))?;
            return Ok(Made { archive, identity });
        }
        let step = Step::begin(format_args!(
            "base image {} from Debian's packages ({})",
            self.name, self.suite
        ));
        let work = super::work_folder()?;
        let root = work.path().join("root.tar");
        self.bootstrap(&root)?;
        let storage = Storage::new()?;
        storage.import(&root, &self.reference)?;
        let exported = work.path().join("image.tar");
        storage.export(&self.reference, &exported)?;
        let identity = digest::of_file(&exported)?;
        fs::rename(&exported, &archive).with_context(|| format!("cannot write {}", archive.display()))?;
        fs::write(&identity_file, &identity)
            .with_context(|| format!("cannot write {}", identity_file.display()))?;
        remove_older(&folder, &format!("base-{}-", self.name), &stem)?;
        step.done();
        Ok(Made { archive, identity })
    }

    fn key(&self) -> Result<String> {
        let mut inputs = Inputs::new();
        inputs.text("format", FORMAT);
        inputs.text("suite", self.suite);
        inputs.text("variant", self.variant);
        inputs.text("packages", &self.packages.join(","));
        if let Some((script, argument)) = &self.inside {
            inputs.file("inside", script)?;
            inputs.text("argument", argument);
        }
        inputs.file("finish", &self.finish)?;
        Ok(inputs.tag())
    }

    fn bootstrap(&self, archive: &Path) -> Result<()> {
        let mut mmdebstrap = super::with_usual_umask("mmdebstrap");
        mmdebstrap
            .args(["--quiet", "--mode=root", "--skip=output/dev,cleanup/mmdebstrap"])
            .arg(format!("--variant={}", self.variant))
            .arg(format!("--include={}", self.packages.join(",")));
        for option in debian::transport_options()? {
            mmdebstrap.arg(format!("--aptopt={option}"));
        }
        // Documentation is left out, licences are not.
        for option in [
            "path-exclude=/usr/share/doc/*",
            "path-include=/usr/share/doc/*/copyright",
            "path-exclude=/usr/share/man/*",
            "path-exclude=/usr/share/locale/*",
            "path-exclude=/usr/share/info/*",
        ] {
            mmdebstrap.arg(format!("--dpkgopt={option}"));
        }
        if let Some((script, argument)) = &self.inside {
            let path = script.display();
            mmdebstrap.arg(format!(
                "--customize-hook=chroot \"$1\" sh -s {argument} <'{path}'"
            ));
        }
        // Only a root with packages set up has a step to customize.
        let hook = if self.variant == "extract" {
            "extract"
        } else {
            "customize"
        };
        mmdebstrap.arg(format!("--{hook}-hook=sh '{}' \"$1\"", self.finish.display()));
        mmdebstrap.arg(self.suite).arg(archive);
        mmdebstrap.args(Mirror::of_this_machine()?.sources(self.suite));
        command::output(&mut mmdebstrap)?;
        Ok(())
    }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes what earlier declarations of the same base left.
fn remove_older(folder: &Path, prefix: &str, keep: &str) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(prefix) && !name.starts_with(keep) {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}
