//! The mounts that this process sees, from `/proc/self/mountinfo`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use host::command;
use nix::mount::{MntFlags, umount2};

use super::plan::FileSystem;

#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    pub target: PathBuf,
    pub kind: String,
    options: String,
}

impl Mount {
    /// Whether the file system was mounted with this option.
    pub fn has_option(&self, name: &str) -> bool {
        self.options.split(',').any(|option| option == name)
    }
}

/// All mounts, in the order in which they were made.
pub fn list() -> Result<Vec<Mount>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("cannot read the list of mounts")?;
    Ok(parse(&text))
}

/// Unmounts everything at and below a folder, the last made first.
pub fn clear_below(folder: &Path) -> Result<()> {
    for mount in list()?
        .iter()
        .rev()
        .filter(|mount| mount.target.starts_with(folder))
    {
        umount2(&mount.target, MntFlags::MNT_DETACH)
            .with_context(|| format!("cannot unmount {}", mount.target.display()))?;
    }
    Ok(())
}

/// Makes a file of so many MiB, takes room only for what is written, and mounts it as a file system.
pub fn mount_file(file_system: &FileSystem) -> Result<()> {
    let FileSystem { file, mib, target } = file_system;
    fs::create_dir_all(target).with_context(|| format!("cannot make {}", target.display()))?;
    if !file.exists() {
        File::create(file)
            .and_then(|created| created.set_len(u64::from(*mib) << 20))
            .with_context(|| format!("cannot make {}", file.display()))?;
        command::output(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(file))?;
    }
    // The loop device goes with the mount.
    command::output(Command::new("mount").args(["-o", "loop"]).arg(file).arg(target)).map(drop)
}

pub(super) fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(parse_line).collect()
}

/// `ID PARENT MAJOR:MINOR ROOT TARGET OPTIONS [TAG…] - KIND SOURCE SUPER-OPTIONS`
fn parse_line(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let target = before.split(' ').nth(4)?;
    let mut after = after.split(' ');
    Some(Mount {
        target: PathBuf::from(unescape(target)),
        kind: after.next()?.to_owned(),
        options: after.nth(1).unwrap_or_default().to_owned(),
    })
}

/// Blanks and the like are written as a backslash and three octal digits.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('\\') {
        out.push_str(&rest[..position]);
        let code = rest
            .get(position + 1..position + 4)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(code) = code {
            out.push(char::from(code));
            rest = &rest[position + 4..];
        } else {
            out.push('\\');
            rest = &rest[position + 1..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_optional_tags_and_an_escaped_blank_is_read() {
        let mounts = parse(
            "36 35 98:0 / /mnt/a\\040b rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue\n",
        );
        assert_eq!(mounts[0].target, Path::new("/mnt/a b"));
        assert_eq!(mounts[0].kind, "ext3");
        assert!(mounts[0].has_option("errors=continue"));
        assert!(!mounts[0].has_option("errors"));
    }

    #[test]
    fn this_machine_has_proc_mounted() {
        assert!(list().unwrap().iter().any(|mount| mount.kind == "proc"));
    }
}
