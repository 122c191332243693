//! Processes that are known again later: by pid, start time and boot, so that a pid that
//! the kernel has given to somebody else in the meantime is never taken for ours.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// One process of one boot of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: i32,
    /// Clock ticks from boot to the process's start: field 22 of `/proc/PID/stat`.
    pub start: u64,
    pub boot: String,
}

impl Identity {
    /// The identity of a running process.
    pub fn of(pid: i32) -> Result<Self> {
        let stat =
            fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("no process {pid}"))?;
        let stat =
            Stat::parse(&stat).with_context(|| format!("/proc/{pid}/stat has another form than expected"))?;
        Ok(Self {
            pid,
            start: stat.start,
            boot: boot_id()?,
        })
    }

    /// The identity of this process.
    pub fn own() -> Result<Self> {
        Self::of(i32::try_from(std::process::id())?)
    }

    /// Whether this very process still runs. One that has ended and only waits for its parent does not.
    pub fn is_alive(&self) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else {
            return false;
        };
        let Some(stat) = Stat::parse(&stat) else {
            return false;
        };
        stat.start == self.start && stat.state != 'Z' && boot_id().is_ok_and(|boot| boot == self.boot)
    }

    /// Ends this very process at once, if it still runs.
    pub fn kill(&self) {
        kill_if(self.pid, || self.is_alive());
    }
}

/// Sends SIGKILL to the process, if the condition still holds once the kernel's handle on it is open:
/// from then on the pid cannot come to mean another process.
pub fn kill_if(pid: i32, condition: impl FnOnce() -> bool) {
    let Some(raw) = Pid::from_raw(pid) else { return };
    let Ok(handle) = pidfd_open(raw, PidfdFlags::empty()) else {
        return;
    };
    if condition() {
        // The only failure left is that it has ended by itself.
        let _ = pidfd_send_signal(&handle, Signal::KILL);
    }
}

/// What distinguishes this boot of the machine from every other.
pub fn boot_id() -> Result<String> {
    let text =
        fs::read_to_string("/proc/sys/kernel/random/boot_id").context("cannot read the kernel's boot id")?;
    Ok(text.trim().to_owned())
}

struct Stat {
    state: char,
    start: u64,
}

impl Stat {
    /// Reads `/proc/PID/stat`. The second field, the program's name in parentheses, may itself hold
    /// blanks and parentheses, so the fields are counted from the last closing one.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let start = fields.nth(18)?.parse().ok()?;
        Some(Self { state, start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_a_name_with_blanks_and_parentheses() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 10";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(stat.state, 'S');
        assert_eq!(stat.start, 987_654);
    }

    #[test]
    fn a_text_of_another_form_is_no_process() {
        assert!(Stat::parse("42 (cat) S 1 2").is_none());
        assert!(Stat::parse("").is_none());
    }

    #[test]
    fn this_process_is_alive_and_one_with_another_start_time_is_not() {
        let own = Identity::own().unwrap();
        assert!(own.is_alive());
        assert!(
            !Identity {
                start: own.start + 1,
                ..own.clone()
            }
            .is_alive()
        );
        assert!(
            !Identity {
                boot: "another".to_owned(),
                ..own
            }
            .is_alive()
        );
    }

    #[test]
    fn a_killed_child_is_not_alive_even_before_it_is_waited_for() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(identity.is_alive());
        identity.kill();
        child.wait().unwrap();
        assert!(!identity.is_alive());
        identity.kill();
    }
}
