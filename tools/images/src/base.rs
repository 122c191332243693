//! The base images, made from Debian's packages by mmdebstrap, for machines that reach no image registry.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::buildah::Storage;
use super::cache;
use super::debian::{self, Mirror};
use super::digest::{self, Inputs};
use super::reproducible::{SOURCE_DATE_EPOCH, with_usual_umask};
use host::command;
use host::terminal::Step;

/// Raised when what this module makes of the same declaration changes.
const FORMAT: &str = "3";

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
    /// The hash of its files: of the same packages, every machine makes the same.
    pub identity: String,
}

impl Base {
    /// Gives the base, making it where this machine has not made it yet.
    pub fn make(&self) -> Result<Made> {
        let family = format!("base-{}", self.name);
        let stem = format!("{family}-{}", self.key()?);
        let cache = cache::cache();
        if let Some(made) = find(&cache, &stem)? {
            cache::mark_used(&made.archive)?;
            return Ok(made);
        }
        let progress = Step::begin(format_args!(
            "base image {} from Debian's packages ({})",
            self.name, self.suite
        ));
        let work = cache::work_folder()?;
        let root = work.path().join("root.tar");
        self.bootstrap(&root)?;
        let identity = digest::of_file(&root)?;
        let storage = Storage::new()?;
        storage.import(&root, &self.reference)?;
        let exported = work.path().join("image.tar");
        storage.export(&self.reference, &exported)?;
        let archive = cache.join(format!("{stem}.{identity}.tar"));
        fs::rename(&exported, &archive).with_context(|| format!("cannot write {}", archive.display()))?;
        cache::prune(&cache, &family)?;
        progress.done();
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
        let mut mmdebstrap = with_usual_umask("mmdebstrap");
        mmdebstrap
            .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
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

/// The base that was made from the same declaration. Its identity is a part of its name.
fn find(cache: &Path, stem: &str) -> Result<Option<Made>> {
    for entry in fs::read_dir(cache).with_context(|| format!("cannot list {}", cache.display()))? {
        let archive = entry?.path();
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        let identity = name
            .strip_prefix(stem)
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(|rest| rest.strip_suffix(".tar"))
            .map(str::to_owned);
        if let Some(identity) = identity {
            return Ok(Some(Made { archive, identity }));
        }
    }
    Ok(None)
}
