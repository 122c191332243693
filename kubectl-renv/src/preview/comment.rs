//! What a comment on a pull request says of its environment.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::arguments::COMMIT;
use crate::environment::Environment;

/// How much of a commit's name is shown.
const SHORT: usize = 12;

/// The comment. Its first line, which is not shown, tells it from other comments.
#[must_use]
pub fn markdown(environment: &Environment, newest: Option<&str>) -> String {
    let key = environment.key();
    let mut text = format!(
        "<!-- kubectl-renv preview {key} -->\n### Preview `{}`\n\n| | |\n| --- | --- |\n",
        key.name
    );
    let mut row = |title: &str, said: &str| {
        let _ = writeln!(text, "| {title} | {said} |");
    };
    row("State", &state(environment));
    if let Some(url) = &environment.status.url {
        row("Address", &link(url));
    }
    if let Some(commit) = commits(environment.annotation(COMMIT), newest) {
        row("Commit", &commit);
    }
    if let Some(data) = data(environment) {
        row("Data", &data);
    }
    if let Some(lifetime) = lifetime(environment) {
        row("Lifetime", &lifetime);
    }
    if !environment.is_ready() && !environment.message().is_empty() {
        // What it says may be somebody's words, as those of a dump: it is shown, and never Markdown.
        let _ = write!(
            text,
            "\n```text\n{}\n```\n",
            environment.message().replace("```", "'''")
        );
    }
    let _ = write!(
        text,
        "\n`kubectl renv status {} -n {}` shows more.\n",
        key.name, key.namespace
    );
    text
}

fn state(environment: &Environment) -> String {
    match environment.phase() {
        "Ready" if environment.is_ready() => "🟢 **Ready**".to_owned(),
        "Degraded" => "🔴 **Degraded**".to_owned(),
        "Asleep" => "💤 **Asleep**: the next request wakes it, and takes some seconds".to_owned(),
        "Suspended" => "⏸️ **Suspended**".to_owned(),
        "Ready" => "🟡 **Progressing**".to_owned(),
        phase => format!("🟡 **{phase}**"),
    }
}

/// The environment's commit, and the newest one where it is another.
fn commits(made_of: Option<&str>, newest: Option<&str>) -> Option<String> {
    let short = |commit: &str| code(&commit.chars().take(SHORT).collect::<String>());
    match (made_of, newest) {
        (None, None) => None,
        (Some(commit), Some(newest)) if commit != newest => {
            Some(format!("{}; {} is newer", short(commit), short(newest)))
        }
        (None, Some(newest)) => Some(format!("unknown; {} is the newest", short(newest))),
        (Some(commit), _) => Some(short(commit)),
    }
}

fn data(environment: &Environment) -> Option<String> {
    let seed = environment.status.database.seed.as_ref()?;
    let mut said = format!("{}, {} prices", code(&seed.source), seed.rows);
    if let Some(copied) = &seed.copied {
        if let Some(sample) = copied.sample {
            let _ = write!(said, ", {sample} % of the pairs of ports");
        }
        let masks: Vec<String> = copied
            .masks
            .iter()
            .filter_map(|mask| mask.as_str().map(code))
            .collect();
        if !masks.is_empty() {
            let _ = write!(said, ", masked: {}", masks.join(", "));
        }
    }
    Some(said)
}

fn lifetime(environment: &Environment) -> Option<String> {
    let mut said = Vec::new();
    said.extend(
        environment
            .status
            .expires_at
            .map(|at: Timestamp| format!("ends {}", at.strftime("%Y-%m-%d %H:%M UTC"))),
    );
    let sleeps = environment.spec.lifetime.sleep_after.as_ref();
    said.extend(sleeps.map(|after| format!("sleeps after {} without a request", code(after))));
    (!said.is_empty()).then(|| said.join(", "))
}

/// An address that can be followed, where it has nothing but what hosts and ports have.
fn link(url: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || ":/.-".contains(character);
    if url.chars().all(is_plain) {
        format!("<{url}>")
    } else {
        code(url)
    }
}

/// Text that is no Markdown, and no cell's end.
fn code(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|character| match character {
            '`' => '\'',
            '|' => '/',
            control if control.is_control() => ' ',
            other => other,
        })
        .collect();
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn environment(status: &serde_json::Value) -> Environment {
        Environment::new(
            serde_json::from_value(json!({
                "metadata": {"name": "pr-42", "namespace": "previews", "generation": 1, "annotations": {COMMIT: "0123456789abcdef"}},
                "spec": {"lifetime": {"ttl": "72h", "sleepAfter": "2h"}},
                "status": status,
            }))
            .unwrap(),
        )
    }

    #[test]
    fn one_that_is_ready_has_its_address_commit_data_and_end() {
        let ready = environment(&json!({
            "phase": "Ready", "observedGeneration": 1, "url": "http://pr-42.rates.example", "message": "everything is as specified",
            "expiresAt": "2031-03-07T02:00:00Z", "conditions": [{"type": "Ready", "status": "True"}],
            "database": {"seed": {"source": "environment:rates/staging", "rows": 512_345, "seconds": 3.0, "copied": {"sample": 10, "masks": ["prices: noise 20 %"]}}},
        }));
        insta::assert_snapshot!(markdown(&ready, Some("0123456789abcdef")));
    }

    #[test]
    fn one_that_is_made_says_what_goes_on_and_no_word_of_it_is_markdown() {
        let young = environment(&json!({
            "phase": "Seeding", "observedGeneration": 1,
            "message": "seed: ```\n@everybody <img src=x> | ``` [click](http://x)",
        }));
        insta::assert_snapshot!(markdown(&young, Some("fedcba9876543210")));
    }
}
