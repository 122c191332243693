//! What is wanted, held against what was found. Nothing fails by it: a benchmark is not a test.

use std::fmt;

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What has to be reached.
    Goal,
    /// Where to go from there.
    Aim,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Goal {
    pub kind: Kind,
    pub what: String,
    pub wanted: String,
    pub found: String,
    pub met: bool,
}

impl Goal {
    pub fn new(
        what: impl Into<String>,
        wanted: impl Into<String>,
        found: impl Into<String>,
        met: bool,
    ) -> Self {
        Self {
            kind: Kind::Goal,
            what: what.into(),
            wanted: wanted.into(),
            found: found.into(),
            met,
        }
    }

    pub fn at_least(what: impl Into<String>, wanted: f64, found: f64) -> Self {
        Self::new(what, format!("at least {wanted}"), figure(found), found >= wanted)
    }

    pub fn at_most(what: impl Into<String>, wanted: f64, found: f64) -> Self {
        Self::new(
            what,
            format!("at most {wanted:.1}"),
            figure(found),
            found <= wanted,
        )
    }

    pub fn count_of(what: impl Into<String>, wanted: usize, found: usize) -> Self {
        Self::new(
            what,
            format!("at least {wanted}"),
            found.to_string(),
            found >= wanted,
        )
    }

    pub fn none(what: impl Into<String>, found: usize) -> Self {
        Self::new(what, "none", found.to_string(), found == 0)
    }

    #[must_use]
    pub fn as_aim(self) -> Self {
        Self {
            kind: Kind::Aim,
            ..self
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match (self.met, self.kind) {
            (true, _) => '✓',
            (false, Kind::Goal) => '✗',
            (false, Kind::Aim) => '·',
        };
        let kind = match self.kind {
            Kind::Goal => "",
            Kind::Aim => "to aim for: ",
        };
        write!(
            formatter,
            "{mark} {kind}{}: {}, {} wanted",
            self.what, self.found, self.wanted
        )
    }
}

/// A ratio or a time with as many digits as say something.
#[must_use]
pub fn figure(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 0.1 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_as_many_digits_as_say_something() {
        assert_eq!([0.000_34, 1.234, 123.4].map(figure), ["0.0003", "1.23", "123"]);
    }

    #[test]
    fn a_goal_that_is_missed_is_marked_otherwise_than_an_aim() {
        let missed = Goal::at_least("speed", 3.0, 2.5);
        assert_eq!(missed.to_string(), "✗ speed: 2.50, at least 3 wanted");
        assert_eq!(
            missed.as_aim().to_string(),
            "· to aim for: speed: 2.50, at least 3 wanted"
        );
        assert_eq!(
            Goal::at_least("speed", 2.0, 2.5).to_string(),
            "✓ speed: 2.50, at least 2 wanted"
        );
    }
}
