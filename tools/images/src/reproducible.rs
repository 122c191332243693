//! What makes the same image on every machine.

use std::process::Command;

/// The time of everything that is made here, in seconds since 1970 (2026-11-01): with the time of the day, the same base
/// would be another one on every machine, and so would all that is made on it. See reproducible-builds.org.
pub const SOURCE_DATE_EPOCH: &str = "1793491200";

/// A program that makes files with the usual modes, whatever the caller's umask is.
pub fn with_usual_umask(program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 022 && exec \"$0\" \"$@\"", program]);
    command
}
