//! The Debian packages that a run needs: installed when missing, without removing any and without starting a service.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::terminal::Step;
use crate::{lock, workspace};

/// Packages of which another one, or a person, may have installed the programs: Docker's containerd.io has those of two
/// and conflicts with both, Maven is large, and pip may be of a Python that is no package.
const ELSEWHERE: [(&str, &[&str]); 4] = [
    ("containerd", &["containerd", "containerd-shim-runc-v2", "ctr"]),
    ("maven", &["mvn"]),
    ("python3-pip", &["pip3"]),
    ("runc", &["runc"]),
];

/// Debian asks this program whether a service may be started. Ours, known by its text, always says no.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_TEXT: &str =
    "#!/bin/sh\n# Of cargo xtask, while it installs packages: start no service.\nexit 101\n";

/// Runs a command while the policy is there. The shell removes it, so that it is gone once the command has ended,
/// however this program ended: Ctrl-C reaches neither of the two, and what the command says goes into a file, as a pipe
/// would break with this program.
/// Arguments: the policy, its text, a lock, the command.
const UNDER_POLICY: &str = r#"
trap '' HUP INT TERM
policy=$1 text=$2 output=$3.output
exec 9>"$3"
flock 9
shift 3
if [ -e "$policy" ] && [ "$(cat "$policy"; echo .)" != "$text." ]; then
  exec "$@" 9>&-
fi
umask 022
printf %s "$text" >"$policy" && chmod 755 "$policy" || exit
"$@" >"$output" 2>&1 9>&-
code=$?
rm -f "$policy"
cat "$output" >&2
exit "$code"
"#;

/// Installs those of the packages that are missing; quick when none is.
pub fn install(wanted: &BTreeSet<&str>) -> Result<()> {
    if !missing(wanted)?.is_empty() {
        let _lock = hold()?;
        // Another clone may have installed them while this one waited.
        let missing = missing(wanted)?;
        if !missing.is_empty() {
            install_missing(&missing)?;
        }
    } else if is_ours(Path::new(POLICY)) {
        // Left by a loss of power, or in use by an installation that is waited for.
        command::output(&mut under_policy("true"))?;
    }
    Ok(())
}

fn is_ours(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text == POLICY_TEXT)
}

fn install_missing(missing: &[&str]) -> Result<()> {
    let step = Step::begin(format_args!("install Debian packages: {}", missing.join(" ")));
    // The lists may be old, or of a source that is gone: what counts is whether the packages can be had.
    let update = command::output(apt_get(unattended("apt-get")).arg("update"));
    let install = || {
        command::output(
            apt_get(under_policy("apt-get"))
                .args(["install", "--yes", "--no-install-recommends", "--no-remove"])
                .args(missing),
        )
    };
    let result = install().or_else(|error| {
        // An installation that was cut off, whoever's it was, has to be finished first.
        command::output(under_policy("dpkg").args(["--configure", "--pending"])).map_err(|_| error)?;
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

fn apt_get(mut command: Command) -> Command {
    command.args(["--quiet", "--option", "DPkg::Lock::Timeout=600"]);
    command
}

/// A program that asks no questions.
fn unattended(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// A program that asks no questions, while no service is started, and out of Ctrl-C's reach.
fn under_policy(program: &str) -> Command {
    let lock = locks().join("policy");
    let mut command = keeping_policy(Path::new(POLICY), &lock);
    command.arg(program).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn keeping_policy(policy: &Path, lock: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", UNDER_POLICY, "sh"])
        .arg(policy)
        .arg(POLICY_TEXT)
        .arg(lock)
        .process_group(0);
    command
}

/// The wanted packages that are not installed.
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
    Ok(among(wanted, &listed, &|program| find(program).is_some()))
}

fn among<'a>(wanted: &BTreeSet<&'a str>, listed: &str, is_there: &dyn Fn(&str) -> bool) -> Vec<&'a str> {
    let installed: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .collect();
    let is_elsewhere = |package: &str| {
        ELSEWHERE
            .iter()
            .any(|(name, programs)| *name == package && programs.iter().all(|program| is_there(program)))
    };
    wanted
        .iter()
        .copied()
        .filter(|package| !installed.contains(package) && !is_elsewhere(package))
        .collect()
}

/// The program of this name that would be started.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Takes the lock under which packages are installed.
pub fn hold() -> Result<fs::File> {
    lock::hold(
        &locks().join("packages"),
        "another installation of packages on this machine",
    )
}

fn locks() -> PathBuf {
    workspace::machine_state().join("locks")
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
    fn what_another_package_or_a_person_installed_need_not_come_from_debian() {
        let wanted = BTreeSet::from(["containerd", "iptables", "maven", "runc"]);
        let with = |programs: &[&str]| {
            among(&wanted, "iptables installed\n", &|program| {
                programs.contains(&program)
            })
            .join(" ")
        };
        assert_eq!(with(&["mvn"]), "containerd runc");
        assert_eq!(with(&["containerd", "mvn", "runc"]), "containerd", "it lacks ctr");
        let dockers = ["containerd", "containerd-shim-runc-v2", "ctr", "runc", "mvn"];
        assert_eq!(with(&dockers), "");
    }

    #[test]
    fn the_policy_is_there_for_one_command_and_gone_after_it_whatever_ctrl_c_does() {
        let folder = tempfile::tempdir().unwrap();
        let (policy, lock) = (folder.path().join("policy"), folder.path().join("lock"));
        let [begin, end] = ["begin", "end"].map(|name| folder.path().join(name));
        for fifo in [&begin, &end] {
            nix::unistd::mkfifo(fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        let mut guard = keeping_policy(&policy, &lock)
            .args(["sh", "-c", "cat \"$0\"; cat \"$1\"; exit 3"])
            .args([&begin, &end])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Opened by the command, so that it runs.
        drop(fs::File::options().write(true).open(&begin).unwrap());
        assert_eq!(fs::read_to_string(&policy).unwrap(), POLICY_TEXT);
        assert!(Command::new(&policy).status().unwrap().code() == Some(101));
        // What a terminal does, and what a shutdown does, to the group.
        let group = nix::unistd::Pid::from_raw(i32::try_from(guard.id()).unwrap());
        for signal in [
            nix::sys::signal::SIGINT,
            nix::sys::signal::SIGTERM,
            nix::sys::signal::SIGHUP,
        ] {
            nix::sys::signal::killpg(group, signal).unwrap();
        }
        drop(fs::File::options().write(true).open(&end).unwrap());
        assert_eq!(guard.wait().unwrap().code(), Some(3), "the command's own end");
        assert!(!policy.exists());
    }

    #[test]
    fn one_that_is_left_of_a_killed_run_is_removed_and_somebody_elses_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (policy, lock) = (folder.path().join("policy"), folder.path().join("lock"));
        for (text, stays) in [(POLICY_TEXT, false), ("#!/bin/sh\nexit 0\n", true)] {
            fs::write(&policy, text).unwrap();
            command::output(keeping_policy(&policy, &lock).arg("true")).unwrap();
            assert_eq!(policy.exists(), stays, "{text}");
        }
        assert_eq!(fs::read_to_string(&policy).unwrap(), "#!/bin/sh\nexit 0\n");
    }
}
