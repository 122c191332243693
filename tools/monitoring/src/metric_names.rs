//! Which metrics an expression asks for.
//!
//! It relies on promtool having parsed the expression: a parser of `PromQL` as a crate generates its grammar in each first
//! build, for the one question that is asked here.

use std::collections::BTreeSet;

/// Words that stand where a metric could, and are none.
const WORDS: [&str; 25] = [
    "and",
    "atan2",
    "avg",
    "bool",
    "bottomk",
    "by",
    "count",
    "count_values",
    "group",
    "group_left",
    "group_right",
    "ignoring",
    "inf",
    "max",
    "min",
    "nan",
    "offset",
    "on",
    "or",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
    "unless",
];
/// Words before a list of labels in parentheses.
const BEFORE_LABELS: [&str; 6] = ["by", "group_left", "group_right", "ignoring", "on", "without"];

/// The names of the metrics in an expression. A name that is only matched (`{__name__=~…}`) is not among them.
#[must_use]
pub fn of(expression: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '{' => behind(rest, '}'),
            '[' => behind(rest, ']'),
            '"' | '\'' | '`' => behind_string(rest),
            '#' => rest.split_once('\n').map_or("", |(_, next)| next),
            first if first.is_ascii_digit() => rest
                .trim_start_matches(|character: char| character.is_ascii_alphanumeric() || character == '.'),
            first if starts_word(first) => {
                let next =
                    rest.trim_start_matches(|character| starts_word(character) || character.is_ascii_digit());
                let word = &rest[..rest.len() - next.len()];
                let next = next.trim_start();
                if BEFORE_LABELS.contains(&word) {
                    if next.starts_with('(') {
                        behind(next, ')')
                    } else {
                        next
                    }
                } else {
                    if !next.starts_with('(') && !WORDS.contains(&word) {
                        names.insert(word.to_owned());
                    }
                    next
                }
            }
            first => &rest[first.len_utf8()..],
        };
        rest = rest.trim_start();
    }
    names
}

fn starts_word(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_' || character == ':'
}

/// What follows the next `end` outside of a string.
fn behind(text: &str, end: char) -> &str {
    let mut rest = &text[1..];
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '"' | '\'' | '`' => behind_string(rest),
            first => &rest[first.len_utf8()..],
        };
        if first == end {
            break;
        }
    }
    rest
}

/// What follows the string that the text begins with.
fn behind_string(text: &str) -> &str {
    let mut characters = text.char_indices();
    let quote = characters.next().map(|(_, quote)| quote);
    let mut is_escaped = false;
    for (index, character) in characters {
        if Some(character) == quote && !is_escaped {
            return &text[index + character.len_utf8()..];
        }
        is_escaped = character == '\\' && !is_escaped && quote != Some('`');
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(expression: &str) -> Vec<String> {
        Vec::from_iter(of(expression))
    }

    #[test]
    fn only_metrics_are_names() {
        assert_eq!(
            names(
                r#"histogram_quantile(0.99, sum by (le, pod) (rate(a_bucket{job="b", x=~"c}d\"e"}[5m] offset 1h)))
                   / on (namespace) group_left (environment) (rates:info:x or 1e3 * time()) > bool 5 # comment f
                   and absent(g unless ignoring (h) {i="j"})"#
            ),
            ["a_bucket", "g", "rates:info:x"]
        );
        assert_eq!(
            names("count without (pod) (up) + sum(max_over_time(y[1h:30s]))"),
            ["up", "y"]
        );
        assert!(names(r#"max by (namespace) ({__name__=~"rates:saturation:.+"})"#).is_empty());
    }
}
