//! What each image is made of.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::base::Base;
use super::digest::Inputs;
use super::image::Image;
use super::package::{self, Program};
use super::server;
use super::wheel::{self, Wheel};
use host::{command, workspace};

/// One file of a build's context.
pub struct Part {
    /// Its name in the context, as the Containerfile knows it.
    name: &'static str,
    content: Content,
    executable: bool,
}

enum Content {
    /// A file of the clone or of a build.
    File(PathBuf),
    /// A Go program of one file that uses the standard library alone.
    Go(PathBuf),
    /// The server of an exact version; its artifact is known by its hash.
    Server(&'static server::Exact),
    /// A program of Debian's.
    Program(&'static Program),
    /// A Python program; its wheel is known by its hash.
    Wheel(&'static Wheel),
    /// A tar archive with nothing in it.
    EmptyArchive,
}

/// Everything that decides what an image is.
pub struct Recipe {
    containerfile: PathBuf,
    pub base: Option<Base>,
    pub arguments: Vec<(&'static str, String)>,
    parts: Vec<Part>,
}

impl Recipe {
    pub fn of(image: Image) -> Self {
        let binary =
            |name: &'static str| vec![part(name, Content::File(workspace::binaries().join(name)), true)];
        match image {
            Image::Operator => Self::new("operator", Some(distroless()), binary("rates-operator")),
            Image::Api => Self::new("api", Some(distroless()), binary("rates-api")),
            Image::StandIn(mode) => Self {
                arguments: vec![("MODE", mode.mode().to_owned())],
                ..Self::new(
                    "stand-in",
                    Some(distroless()),
                    [binary("rates-api"), binary("stand-in")]
                        .into_iter()
                        .flatten()
                        .collect(),
                )
            },
            Image::Exporter => {
                let program = Content::Program(&package::POSTGRES_EXPORTER);
                let parts = vec![part(package::POSTGRES_EXPORTER.package, program, true)];
                Self::new("exporter", Some(distroless()), parts)
            }
            Image::Pause => {
                let source = workspace::root().join("tools/local-cluster/programs/pause/main.go");
                Self::new("pause", None, vec![part("pause", Content::Go(source), true)])
            }
            Image::Monitoring => Self::new("monitoring", Some(monitoring()), binary("prometheus-discovery")),
            Image::Postgres13 => Self::postgres("13", "bullseye", Content::Server(&server::POSTGRES_13_5)),
            Image::Postgres17 => Self::postgres("17", "trixie", Content::EmptyArchive),
        }
    }

    fn new(folder: &str, base: Option<Base>, parts: Vec<Part>) -> Self {
        Self {
            containerfile: workspace::root()
                .join("images")
                .join(folder)
                .join("Containerfile"),
            base,
            arguments: Vec::new(),
            parts,
        }
    }

    fn postgres(major: &'static str, suite: &'static str, server: Content) -> Self {
        let folder = workspace::root().join("images/postgres");
        let file = |name| part(name, Content::File(folder.join(name)), false);
        let program = |name| part(name, Content::File(folder.join(name)), true);
        let base = Base {
            name: format!("postgres-{major}"),
            reference: format!("localhost/rates-base-postgres-{major}"),
            suite,
            variant: "apt",
            packages: &["ca-certificates"],
            inside: Some((folder.join("packages.sh"), major)),
            finish: workspace::root().join("images/base/debian.sh"),
        };
        Self {
            arguments: vec![("MAJOR", major.to_owned()), ("BASE", base.reference.clone())],
            ..Self::new(
                "postgres",
                Some(base),
                vec![
                    program("packages.sh"),
                    program("rates-pg-isready"),
                    program("rates-postgres"),
                    program("rates-postgres-clone"),
                    program("rates-postgres-drain"),
                    program("rates-postgres-give-up"),
                    program("rates-postgres-hand-over"),
                    program("rates-postgres-lower"),
                    program("rates-postgres-report"),
                    program("rates-postgres-roles"),
                    program("rates-postgres-server"),
                    program("rates-postgres-shares"),
                    program("rates-seed-load"),
                    program("rates-supervise"),
                    file("cycle.py"),
                    file("election.py"),
                    file("fencing.py"),
                    file("kubernetes_api.py"),
                    file("lost_log.py"),
                    file("password.sql"),
                    file("patroni.yml"),
                    file("patroni_api.py"),
                    file("patroni_state.py"),
                    file("privileged.sql"),
                    file("privileges.sql"),
                    file("renewal.py"),
                    file("retire.sql"),
                    file("roles.sql"),
                    file("seed_copy.py"),
                    file("seed_dump.py"),
                    file("seed_fetch.py"),
                    file("session-options"),
                    file("sessions.sql"),
                    file("share-limits.sql"),
                    file("share_views.py"),
                    file("start-failure.awk"),
                    file("timelines.py"),
                    file("unstarted_copy.py"),
                    file("words.py"),
                    part("patroni.whl", Content::Wheel(&wheel::PATRONI), false),
                    part("server.tar", server, false),
                ],
            )
        }
    }

    /// The image's tag, from the content of all that goes into it.
    pub fn tag(&self, base_identity: &str) -> Result<String> {
        let mut inputs = Inputs::new();
        inputs.text("base", base_identity);
        inputs.file("Containerfile", &self.containerfile)?;
        for (name, value) in &self.arguments {
            inputs.text(name, value);
        }
        for part in &self.parts {
            inputs.text("executable", if part.executable { "yes" } else { "no" });
            match &part.content {
                Content::File(path) | Content::Go(path) => inputs.file(part.name, path)?,
                Content::Server(exact) => inputs.text(part.name, exact.sha256),
                Content::Wheel(wheel) => inputs.text(part.name, wheel.sha256),
                Content::Program(program) => inputs.file(part.name, &program.file()?)?,
                Content::EmptyArchive => inputs.text(part.name, "empty"),
            }
        }
        Ok(inputs.tag())
    }

    /// Lays the context out in a folder, with the same modes whatever the umask is.
    pub fn lay_out(&self, folder: &Path) -> Result<()> {
        copy(&self.containerfile, &folder.join("Containerfile"))?;
        for part in &self.parts {
            let target = folder.join(part.name);
            match &part.content {
                Content::File(path) => copy(path, &target)?,
                Content::Go(path) => build_go(path, &target)?,
                Content::Server(exact) => copy(&exact.archive()?, &target)?,
                Content::Wheel(wheel) => copy(&wheel.archive()?, &target)?,
                Content::Program(program) => copy(&program.file()?, &target)?,
                Content::EmptyArchive => fs::write(&target, [0; 1024])
                    .with_context(|| format!("cannot write {}", target.display()))?,
            }
            let mode = if part.executable { 0o755 } else { 0o644 };
            fs::set_permissions(&target, fs::Permissions::from_mode(mode))
                .with_context(|| format!("cannot set the mode of {}", target.display()))?;
        }
        Ok(())
    }
}

fn part(name: &'static str, content: Content, executable: bool) -> Part {
    Part {
        name,
        content,
        executable,
    }
}

/// libc, libgcc, certificates and time zones, and nothing that could be run. Its libc is newer than that
/// of the machines that build, never older.
fn distroless() -> Base {
    Base {
        name: "distroless".to_owned(),
        reference: "gcr.io/distroless/cc-debian13:nonroot".to_owned(),
        suite: "trixie",
        variant: "extract",
        packages: &["base-files", "ca-certificates", "libc6", "libgcc-s1", "tzdata"],
        inside: None,
        finish: workspace::root().join("images/base/distroless.sh"),
    }
}

/// Prometheus and Alertmanager of the release that also checks the rules, with the files of their pages.
fn monitoring() -> Base {
    Base {
        name: "monitoring".to_owned(),
        reference: "localhost/rates-base-monitoring".to_owned(),
        suite: "bookworm",
        variant: "extract",
        packages: &[
            "ca-certificates",
            "libc6",
            "libgcc-s1",
            "prometheus",
            "prometheus-alertmanager",
            "tzdata",
        ],
        inside: None,
        finish: workspace::root().join("images/base/monitoring.sh"),
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.exists() {
        bail!(
            "{} is missing: it has to be built before the image",
            from.display()
        );
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn build_go(source: &Path, target: &Path) -> Result<()> {
    command::output(
        Command::new("go")
            .args(["build", "-trimpath", "-ldflags=-s -w -buildid=", "-o"])
            .arg(target)
            .arg(source)
            // A file of its own, outside of any module: nothing has to be fetched.
            .env("GO111MODULE", "off")
            .env("CGO_ENABLED", "0"),
    )?;
    Ok(())
}
