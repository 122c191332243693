//! The ports of the activator: each environment that sleeps has one of them.

use std::fmt::{Display, Formatter};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A range of ports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ActivatorPorts {
    first: u16,
    last: u16,
}

impl ActivatorPorts {
    /// The default, as it is written.
    pub const DEFAULT: &str = "20000-22047";

    #[must_use]
    pub const fn all(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl Display for ActivatorPorts {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.first, self.last)
    }
}

impl FromStr for ActivatorPorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text.split_once('-').and_then(|(first, last)| {
            Some(Self {
                first: first.parse().ok()?,
                last: last.parse().ok()?,
            })
        });
        range
            .filter(|range| range.first >= 1024 && range.first <= range.last)
            .ok_or_else(|| {
                format!(
                    "{text:?} is no range of ports from 1024 on, such as {}",
                    Self::DEFAULT
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_it_is_written_and_anything_else_is_refused_with_an_example() {
        let range: ActivatorPorts = ActivatorPorts::DEFAULT.parse().unwrap();
        assert_eq!(range.to_string(), ActivatorPorts::DEFAULT);
        assert_eq!(range.all().count(), 2048);
        assert!(range.contains(22047) && !range.contains(22048));
        for wrong in ["", "20000", "80-90", "3000-2000", "a-b", "20000-70000"] {
            let error = wrong.parse::<ActivatorPorts>().unwrap_err();
            assert!(error.contains("such as 20000-22047"), "{error}");
        }
    }
}
