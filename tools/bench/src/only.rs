//! What of a benchmark is played: all, or what `--only` names.

use anyhow::{Result, ensure};
use clap::ValueEnum;

/// Those with these names, or all.
pub fn chosen<T>(kind: &str, mut all: Vec<T>, name: impl Fn(&T) -> &str, names: &[String]) -> Result<Vec<T>> {
    for wanted in names {
        let known: Vec<_> = all.iter().map(&name).collect();
        ensure!(
            known.contains(&wanted.as_str()),
            "there is no {kind} {wanted:?}; there are {}",
            known.join(", ")
        );
    }
    all.retain(|one| names.is_empty() || names.iter().any(|wanted| wanted == name(one)));
    Ok(all)
}

/// The same for the program that plays.
pub fn argument(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| format!("--only={}", names.join(",")))
}

/// As they are written on a command line.
pub fn names<T: ValueEnum>(values: &[T]) -> Vec<String> {
    let values = values.iter().filter_map(ValueEnum::to_possible_value);
    values.map(|value| value.get_name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_chosen_or_those_that_are_named_and_an_unknown_name_is_refused_with_the_known_ones() {
        let names = |names: &str| names.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let chosen = |only: &str| chosen("letter", vec!["a", "b", "c"], |letter| letter, &names(only));
        assert_eq!(chosen("").unwrap(), ["a", "b", "c"]);
        assert_eq!(chosen("c a").unwrap(), ["a", "c"]);
        let refused = chosen("a d").unwrap_err().to_string();
        assert_eq!(refused, "there is no letter \"d\"; there are a, b, c");
    }
}
