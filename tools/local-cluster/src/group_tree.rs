//! A control group and those below it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Visits each group, those below it first.
pub fn walk(group: &Path, visit: &mut impl FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(group) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), visit);
        }
    }
    visit(group);
}

/// Adds the pids of all processes in it.
pub fn collect(group: &Path, pids: &mut BTreeSet<i32>) {
    walk(group, &mut |group| {
        let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        pids.extend(text.lines().filter_map(|line| line.trim().parse::<i32>().ok()));
    });
}
