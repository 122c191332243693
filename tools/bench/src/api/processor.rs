//! How long a process has had a processor.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// All threads, in the kernel and outside of it, as fine as a hundredth of a second.
pub fn of(process: u32) -> Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    time(&stat).with_context(|| format!("{path} has no times"))
}

/// `utime` and `stime`, the 14th and 15th field; the second one is a name in parentheses, and may have anything in it.
fn time(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11).map(str::parse::<u64>);
    let (outside, inside) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    // A hundred a second on every architecture that there is (USER_HZ).
    Some(Duration::from_millis(10 * (outside + inside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_the_kernel_counts_too() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 125 9 9 20 0 3 0 100 1 2";
        assert_eq!(time(stat), Some(Duration::from_millis(3750)));
        assert_eq!(time("7 (a) S 1"), None);
    }
}
