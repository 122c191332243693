//! Every expression of the rules and dashboards, asked of a Prometheus that watches an environment.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use client::environment::{Environment, PATIENCE};
use client::prometheus::{Prometheus, Series};
use client::wait::{Look, until};
use monitoring::rules::Rule;
use monitoring::{dashboards, metric_names, rules};
use serde_json::Value;

/// What may be empty here, and why; dashboards say it themselves.
const MAY_BE_EMPTY: [(&str, &str); 2] = [
    (
        "rates:signal:ratio{rung=\"api_processors\", signal=\"node\"}",
        "only of pods that use more than they asked for",
    ),
    (
        "rates:signal:ratio{rung=\"database_processors\", signal=\"node\"}",
        "only of pods that use more than they asked for",
    ),
];

/// What is asked, and what it is asked for.
struct Question {
    place: String,
    expression: String,
    /// Only series of the environment count, and those that are of none.
    of_environment: bool,
}

/// Waits until each gives something: the rules look back for two minutes.
/// Meanwhile something is asked of the environment: of a counter that does not move there is no share of failures.
pub fn have_data(
    prometheus: &Prometheus,
    environment: &Environment,
    meanwhile: impl Fn() -> Result<()>,
) -> Result<()> {
    let namespace = environment.kubectl.namespace();
    let mut open = questions(namespace, &environment.name)?;
    println!("monitoring: {} expressions", open.len());
    until(
        "every expression of the rules and dashboards has data",
        PATIENCE,
        || {
            meanwhile()?;
            let mut answered = Vec::new();
            for question in &open {
                let found = prometheus
                    .query(&question.expression)
                    .with_context(|| question.place.clone())?;
                answered.push(found.iter().any(|Series { labels, .. }| {
                    !question.of_environment
                        || labels["namespace"].is_null()
                        || labels["namespace"] == namespace
                }));
            }
            let mut answered = answered.into_iter();
            open.retain(|_| answered.next() == Some(false));
            let places: Vec<String> = open
                .iter()
                .map(|question| format!("{}: {}", question.place, question.expression))
                .collect();
            Ok(if places.is_empty() {
                Look::Holds(())
            } else {
                Look::NotYet(places.join("\n"))
            })
        },
    )
}

fn questions(namespace: &str, environment: &str) -> Result<Vec<Question>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut questions = Vec::new();
    for rule in rules::all(&root)? {
        match (&rule.record, &rule.alert) {
            (Some(record), _) => questions.push(Question {
                place: format!("rule {record}"),
                expression: recorded(record, &rule),
                of_environment: true,
            }),
            // One that is quiet gives nothing; what it asks for must be there.
            (None, Some(alert)) => {
                questions.extend(metric_names::of(&rule.expr).into_iter().map(|metric| Question {
                    place: format!("alert {alert}"),
                    expression: metric,
                    of_environment: false,
                }));
            }
            (None, None) => bail!("a rule is neither a record nor an alert: {}", rule.expr),
        }
    }
    for expression in dashboards::expressions(namespace, environment) {
        if expression.only.is_none() {
            questions.push(Question {
                place: expression.place,
                expression: expression.text,
                of_environment: false,
            });
        }
    }
    questions.retain(|question| {
        !MAY_BE_EMPTY
            .iter()
            .any(|(expression, _)| question.expression == *expression)
    });
    Ok(questions)
}

/// The series of a recording rule, which several rules may share but for their labels.
fn recorded(record: &str, rule: &Rule) -> String {
    let labels: Vec<String> = rule
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={}", Value::String(value.clone())))
        .collect();
    format!("{record}{{{}}}", labels.join(", "))
}
