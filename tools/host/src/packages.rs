//! The Debian packages that a run needs: installed when missing, without removing any and without starting a service.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::terminal::Step;
use crate::workspace;

/// Debian asks this program whether a service may be started. Ours, known by its text, always says no.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_TEXT: &str =
    "#!/bin/sh\n# Of cargo xtask, while it installs packages: start no service.\nexit 101\n";

/// Installs those of the packages that are missing; quick when none is.
pub fn install(wanted: &BTreeSet<&str>) -> Result<()> {
    if !missing(wanted)?.is_empty() || is_ours(Path::new(POLICY)) {
        let _lock = lock()?;
        let policy = Policy::set()?;
        // Another clone may have installed them while this one waited.
        let missing = missing(wanted)?;
        if !missing.is_empty() {
            install_missing(&missing)?;
        }
        drop(policy);
    }
    Ok(())
}

fn install_missing(missing: &[&str]) -> Result<()> {
    let step = Step::begin(format_args!("install Debian packages: {}", missing.join(" ")));
    // The lists may be old, or of a source that is gone: what counts is whether the packages can be had.
    let update = command::output(apt_get().arg("update"));
    let install = || {
        command::output(
            apt_get()
                .args(["install", "--yes", "--no-install-recommends", "--no-remove"])
                .args(missing),
        )
    };
    let result = install().or_else(|error| {
        // An installation that was cut off, whoever's it was, has to be finished first.
        command::output(unattended("dpkg").args(["--configure", "--pending"])).map_err(|_| error)?;
        install()
    });
    if let Err(error) = result {
        let hint = update
            .err()
            .map(|error| format!(" (before it: {error:#})"))
            .unwrap_or_default();
        bail!(
            "cannot install the Debian packages {}: {error:#}{hint}",
            missing.join(" ")
        );
    }
    // Where systemd runs, it would start the service at the machine's next start.
    if missing.contains(&"containerd") && Path::new("/run/systemd/system").is_dir() {
        command::output(Command::new("systemctl").args(["disable", "containerd.service"]))?;
    }
    step.done();
    Ok(())
}

fn apt_get() -> Command {
    let mut command = unattended("apt-get");
    command.args(["--quiet", "--option", "DPkg::Lock::Timeout=600"]);
    command
}

/// A program that asks no questions.
fn unattended(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// The packages that are not installed.
fn missing<'a>(wanted: &BTreeSet<&'a str>) -> Result<Vec<&'a str>> {
    // Fails when it does not know one of them, and lists the others all the same.
    let listed = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"])
        .args(wanted)
        .output()
        .context(
            "this machine has no dpkg-query: the local cluster needs Debian 12 or a system made from it",
        )?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    Ok(among(wanted, &listed, &|program| on_path(program)))
}

fn among<'a>(wanted: &BTreeSet<&'a str>, listed: &str, on_path: &dyn Fn(&str) -> bool) -> Vec<&'a str> {
    let installed: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .collect();
    wanted
        .iter()
        .copied()
        .filter(|package| !installed.contains(package))
        // Often installed by hand, and large.
        .filter(|&package| !(package == "maven" && on_path("mvn")))
        .collect()
}

/// Whether a program of this name would be found.
#[must_use]
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn lock() -> Result<fs::File> {
    let folder = workspace::machine_state().join("locks");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("packages");
    let file = fs::File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
    file.lock()
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn is_ours(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text == POLICY_TEXT)
}

/// Keeps services from being started as long as it lives. One that was left by a killed run is taken over.
struct Policy {
    ours: bool,
}

impl Policy {
    fn set() -> Result<Self> {
        let path = Path::new(POLICY);
        if path.exists() && !is_ours(path) {
            // Somebody else's rule is in force, and it is not for us to lift it.
            return Ok(Self { ours: false });
        }
        fs::File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o755)
            .open(path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, POLICY_TEXT.as_bytes()))
            .with_context(|| format!("cannot write {POLICY}"))?;
        Ok(Self { ours: true })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_counts_only_when_it_is_installed_now() {
        let listed = "runc installed\ncontaird installed\niptables config-files\n";
        let wanted = BTreeSet::from(["runc", "iptables", "conntrack"]);
        assert_eq!(among(&wanted, listed, &|_| false), ["conntrack", "iptables"]);
    }

    #[test]
    fn maven_need_not_come_from_debian() {
        let wanted = BTreeSet::from(["maven", "runc"]);
        assert_eq!(
            among(&wanted, "runc installed\n", &|program| program == "mvn"),
            [""; 0]
        );
    }
}
