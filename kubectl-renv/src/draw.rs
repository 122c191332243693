//! Ladders as text: one in full, several with a line each, and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::canvas::Canvas;
use crate::key::Key;
use crate::ladder::Ladder;
use crate::rung::{Rung, SATURATED};

/// From this value on a rung is coloured as one to look at.
const HIGH: f64 = 0.7;
const BAR: usize = 40;
const SHORT_BAR: usize = 20;

/// The nine rungs of one environment, and the first saturated one with its remedy.
#[must_use]
pub fn ladder(key: &Key, ladder: &Ladder, canvas: Canvas) -> String {
    let title = width(Rung::ALL.into_iter().map(Rung::title));
    // "  9  TITLE  BAR  100 %"
    let bar = canvas.columns.saturating_sub(title + 14).clamp(5, BAR);
    let mut text = format!("{}\n\n", canvas.paint(Style::new().bold(), &key.to_string()));
    let saturated = ladder.saturated();
    for rung in Rung::ALL {
        let mark = if saturated == Some(rung) { '>' } else { ' ' };
        let measured = ladder.value(rung).map_or_else(
            || canvas.paint(Style::new().dimmed(), "no data"),
            |value| format!("{}  {:>5}", draw_bar(value, bar, canvas), percent(value)),
        );
        let _ = writeln!(
            text,
            "{mark} {}  {:title$}  {measured}",
            rung.number(),
            rung.title()
        );
    }
    let _ = writeln!(text, "\n{}", verdict(ladder, saturated));
    text
}

fn verdict(ladder: &Ladder, saturated: Option<Rung>) -> String {
    match (saturated, ladder.worst()) {
        (Some(rung), _) => format!(
            "The first saturated rung is {}, {}: {}.",
            rung.number(),
            rung.title(),
            rung.remedy()
        ),
        (None, Some((rung, value))) => format!(
            "No rung is saturated; the highest is {}, {}, at {}.",
            rung.number(),
            rung.title(),
            percent(value)
        ),
        (None, None) => "Prometheus has no value for any rung.".to_owned(),
    }
}

/// Several environments, a line each with the worst rung, the worst environment first.
#[must_use]
pub fn table(ladders: &BTreeMap<Key, Ladder>, namespaces: bool, canvas: Canvas) -> String {
    let mut rows: Vec<(&Key, Option<(Rung, f64)>)> = ladders
        .iter()
        .map(|(key, ladder)| (key, ladder.worst()))
        .collect();
    rows.sort_by(|(_, one), (_, other)| {
        let value = |worst: &Option<(Rung, f64)>| worst.map_or(-1.0, |(_, value)| value);
        value(other).total_cmp(&value(one))
    });
    let namespace = width(
        rows.iter()
            .map(|(key, _)| key.namespace.as_str())
            .chain(["NAMESPACE"]),
    );
    let name = width(rows.iter().map(|(key, _)| key.name.as_str()).chain(["NAME"]));
    let title = width(Rung::ALL.into_iter().map(Rung::title)) + 2;
    let column = |text: &str| {
        if namespaces {
            format!("{text:namespace$}  ")
        } else {
            String::new()
        }
    };
    let mut text = format!(
        "{}{:name$}  {:title$}  SATURATION\n",
        column("NAMESPACE"),
        "NAME",
        "WORST RUNG"
    );
    for (key, worst) in rows {
        let (rung, measured) = worst.map_or_else(
            || ("-".to_owned(), "no data".to_owned()),
            |(rung, value)| {
                (
                    format!("{} {}", rung.number(), rung.title()),
                    format!("{:>5}  {}", percent(value), draw_bar(value, SHORT_BAR, canvas)),
                )
            },
        );
        let _ = writeln!(
            text,
            "{}{:name$}  {rung:title$}  {measured}",
            column(&key.namespace),
            key.name
        );
    }
    text
}

/// The same for programs. A rung without a value is null.
#[must_use]
pub fn as_json(ladders: &BTreeMap<Key, Ladder>) -> Value {
    let environments: Vec<Value> = ladders
        .iter()
        .map(|(key, ladder)| {
            let rungs: Vec<Value> = Rung::ALL
                .into_iter()
                .map(|rung| json!({"number": rung.number(), "rung": rung.name(), "saturation": ladder.value(rung)}))
                .collect();
            json!({
                "namespace": key.namespace,
                "name": key.name,
                "rungs": rungs,
                "worst": ladder.worst().map(|(rung, _)| rung.name()),
                "saturated": ladder.saturated().map(Rung::name),
                "remedy": ladder.saturated().map(Rung::remedy),
            })
        })
        .collect();
    json!({"environments": environments})
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a bar's width, between 0 and the width"
)]
fn draw_bar(value: f64, width: usize, canvas: Canvas) -> String {
    let filled = (value.clamp(0.0, 1.0) * width as f64).round() as usize;
    let colour = if value >= SATURATED {
        AnsiColor::Red
    } else if value >= HIGH {
        AnsiColor::Yellow
    } else {
        AnsiColor::Green
    };
    let full = canvas.paint(colour.on_default(), &"█".repeat(filled));
    format!("{full}{}", "░".repeat(width - filled))
}

fn percent(value: f64) -> String {
    format!("{:.0} %", value * 100.0)
}

fn width<'a>(texts: impl IntoIterator<Item = &'a str>) -> usize {
    texts
        .into_iter()
        .map(|text| text.chars().count())
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ladder::ladders;
    use crate::prometheus::Sample;

    fn found(values: &[(&str, &str, f64)]) -> BTreeMap<Key, Ladder> {
        let samples: Vec<Sample> = values
            .iter()
            .map(|(environment, rung, value)| Sample {
                labels: [
                    ("__name__", format!("rates:saturation:{rung}")),
                    ("namespace", "team-a".to_owned()),
                    ("environment", (*environment).to_owned()),
                ]
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
                value: *value,
            })
            .collect();
        ladders(&samples)
    }

    fn all_rungs() -> BTreeMap<Key, Ladder> {
        let values = [0.31, 0.97, 0.72, 0.05, 0.0, 1.0, 0.1, 0.004];
        let values: Vec<_> = Rung::ALL
            .into_iter()
            .zip(values)
            .map(|(rung, value)| ("shop", rung.name(), value))
            .collect();
        found(&values)
    }

    fn drawn(ladders: &BTreeMap<Key, Ladder>, canvas: Canvas) -> String {
        let (key, one) = ladders.first_key_value().unwrap();
        ladder(key, one, canvas)
    }

    #[test]
    fn a_ladder_has_nine_rungs_and_names_the_first_saturated_one() {
        insta::assert_snapshot!(drawn(&all_rungs(), Canvas::PLAIN));
    }

    #[test]
    fn a_ladder_without_a_saturated_rung_names_the_highest() {
        insta::assert_snapshot!(drawn(
            &found(&[("shop", "log", 0.2), ("shop", "volume", 0.79)]),
            Canvas::PLAIN
        ));
    }

    #[test]
    fn a_ladder_fits_a_narrow_terminal_and_has_colours_there() {
        let canvas = Canvas {
            colours: true,
            columns: 60,
        };
        insta::assert_snapshot!(drawn(&all_rungs(), canvas).replace('\u{1b}', "ESC"));
        let plain = drawn(
            &all_rungs(),
            Canvas {
                colours: false,
                ..canvas
            },
        );
        let rungs = plain
            .lines()
            .filter(|line| line.contains('░') || line.contains('█'));
        assert!(
            rungs.clone().count() == 8 && rungs.map(|line| line.chars().count()).max() <= Some(60),
            "{plain}"
        );
    }

    #[test]
    fn several_environments_have_a_line_each_and_the_worst_is_first() {
        let ladders = found(&[
            ("quiet", "volume", 0.12),
            ("shop", "connections", 0.97),
            ("shop", "locks", 1.0),
            ("a-long-name-of-an-environment", "log", 0.5),
            ("silent", "log", f64::NAN),
        ]);
        insta::assert_snapshot!(format!(
            "{}\n{}",
            table(&ladders, true, Canvas::PLAIN),
            table(&ladders, false, Canvas::PLAIN)
        ));
    }

    #[test]
    fn programs_get_every_rung_and_null_for_an_unknown_one() {
        insta::assert_yaml_snapshot!(as_json(&found(&[("shop", "locks", 0.9), ("shop", "fold", 0.25)])));
    }

    #[test]
    fn a_value_past_the_limit_does_not_leave_the_bar() {
        assert_eq!(draw_bar(7.0, 4, Canvas::PLAIN), "████");
        assert_eq!(draw_bar(-1.0, 4, Canvas::PLAIN), "░░░░");
        assert_eq!(draw_bar(f64::INFINITY, 4, Canvas::PLAIN), "████");
    }
}
