//! The checks of what watches: Prometheus' rules by promtool, the alerts' cases and runbooks, what the dashboards ask,
//! and Argo CD's health check in a Lua interpreter.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use monitoring::{Expression, dashboards, metric_names, rules};
use serde::Deserialize;
use serde_json::{Value, json};

use super::tally::{Outcome, Tally};
use host::{command, packages, unpacked, workspace};

const CASES: &str = "manifests/monitoring/tests";
const METRICS: &str = "manifests/monitoring/tests/metrics.txt";
const RUNBOOKS: &str = "docs/runbooks";
const HEALTH: &str = "manifests/argocd";

/// A failing one does not keep the others from running.
pub fn check(tally: &mut Tally) {
    tally.check("Prometheus rules: promtool", promtool);
    tally.check("alerts: a case that fires, one that does not, a runbook", alerts);
    tally.check("rungs: a case with a value", rungs);
    tally.check("rules and dashboards: expressions and metrics", expressions);
    tally.check("Argo CD: health of an environment", health);
}

fn promtool_program() -> Result<PathBuf> {
    Ok(unpacked::PROMETHEUS.folder()?.join(unpacked::PROMETHEUS.program))
}

/// The rules are right, and do what their cases say.
fn promtool() -> Result<Outcome> {
    let program = promtool_program()?;
    let root = workspace::root();
    command::output(
        Command::new(&program)
            .args(["check", "rules", "--lint-fatal"])
            .args(rules::files(&root)?),
    )?;
    // promtool says on standard output what differs.
    let tested = Command::new(&program)
        .args(["test", "rules"])
        .args(cases(&root)?)
        .output()
        .context("cannot start promtool")?;
    ensure!(
        tested.status.success(),
        "{}{}",
        String::from_utf8_lossy(&tested.stdout),
        String::from_utf8_lossy(&tested.stderr)
    );
    Ok(Outcome::Passed)
}

/// The files of cases.
fn cases(root: &Path) -> Result<Vec<PathBuf>> {
    let files = names(&root.join(CASES), ".yaml")?;
    Ok(files
        .iter()
        .map(|name| root.join(CASES).join(format!("{name}.yaml")))
        .collect())
}

/// The files of a folder with this ending, without it.
fn names(folder: &Path, ending: &str) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(ending).map(str::to_owned));
    }
    Ok(names)
}

#[derive(Deserialize)]
struct Cases {
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    alert_rule_test: Vec<AlertCase>,
    #[serde(default)]
    promql_expr_test: Vec<ValueCase>,
}

#[derive(Deserialize)]
struct ValueCase {
    expr: String,
    exp_samples: Vec<Value>,
}

#[derive(Deserialize)]
struct AlertCase {
    alertname: String,
    exp_alerts: Vec<Value>,
}

fn alerts() -> Result<Outcome> {
    let root = workspace::root();
    let mut alerts: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    for rule in rules::all(&root)? {
        let Some(alert) = rule.alert else { continue };
        let runbook = rule.annotations.get("runbook_url").map(String::as_str);
        ensure!(
            runbook == Some(format!("{RUNBOOKS}/{alert}.md").as_str()),
            "the runbook_url of {alert} is {runbook:?}"
        );
        alerts.entry(alert).or_default();
    }
    let written = names(&root.join(RUNBOOKS), ".md")?;
    let known: BTreeSet<String> = alerts.keys().cloned().collect();
    let differ: Vec<&String> = written.symmetric_difference(&known).collect();
    ensure!(
        differ.is_empty(),
        "a runbook without an alert, or an alert without one: {differ:?}"
    );

    for file in cases(&root)? {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let cases: Cases = serde_yaml::from_str(&text).with_context(|| format!("{}", file.display()))?;
        for case in cases.tests.into_iter().flat_map(|case| case.alert_rule_test) {
            let found = alerts
                .get_mut(&case.alertname)
                .with_context(|| format!("a case of {}, which is no alert", case.alertname))?;
            found.insert(!case.exp_alerts.is_empty());
        }
    }
    let lacking: Vec<String> = alerts
        .into_iter()
        .filter(|(_, found)| found.len() < 2)
        .map(|(alert, found)| {
            let lacks = if found.contains(&true) {
                "stays quiet"
            } else {
                "fires"
            };
            format!("{alert} has no case in which it {lacks}")
        })
        .collect();
    ensure!(lacking.is_empty(), "{}", lacking.join("; "));
    Ok(Outcome::Passed)
}

fn rungs() -> Result<Outcome> {
    let root = workspace::root();
    let file = root.join(CASES).join("ladder.yaml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let cases: Cases = serde_yaml::from_str(&text).with_context(|| format!("{}", file.display()))?;
    let valued: Vec<String> = cases
        .tests
        .into_iter()
        .flat_map(|case| case.promql_expr_test)
        .filter(|case| !case.exp_samples.is_empty())
        .map(|case| case.expr)
        .collect();
    let rungs: BTreeSet<String> = rules::all(&root)?
        .into_iter()
        .filter_map(|rule| rule.record)
        .filter(|name| name.starts_with("rates:saturation:"))
        .collect();
    ensure!(rungs.len() == 9, "the ladder has nine rungs: {rungs:?}");
    let lacking: Vec<&String> = rungs
        .iter()
        .filter(|rung| {
            !valued
                .iter()
                .any(|expression| metric_names::of(expression).contains(*rung))
        })
        .collect();
    ensure!(lacking.is_empty(), "no case has a value of {lacking:?}");
    Ok(Outcome::Passed)
}

/// promtool parses every expression, and every metric is one that something exposes or a rule records.
fn expressions() -> Result<Outcome> {
    let root = workspace::root();
    let asked = dashboards::expressions("shop", "ports");
    parse(&asked)?;
    let mut known: BTreeSet<String> = fs::read_to_string(root.join(METRICS))
        .with_context(|| format!("cannot read {METRICS}"))?
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    known.extend(rules::all(&root)?.into_iter().filter_map(|rule| rule.record));
    let wrong: Vec<String> = rules::expressions(&root)?
        .iter()
        .chain(&asked)
        .flat_map(|expression| {
            metric_names::of(&expression.text)
                .difference(&known)
                .map(|name| format!("{}: {name}", expression.place))
                .collect::<Vec<_>>()
        })
        .collect();
    if !wrong.is_empty() {
        bail!(
            "metrics that are not in {METRICS}, and that no rule records: {}",
            wrong.join("; ")
        );
    }
    Ok(Outcome::Passed)
}

/// promtool checks rules: each expression becomes one.
fn parse(expressions: &[Expression]) -> Result<()> {
    ensure!(!expressions.is_empty(), "the dashboards ask nothing");
    let rules: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(index, expression)| json!({"record": format!("dashboards:{index}"), "expr": expression.text}))
        .collect();
    let file = tempfile::Builder::new()
        .suffix(".yaml")
        .tempfile()
        .context("cannot make a temporary file")?;
    serde_json::to_writer(
        &file,
        &json!({"groups": [{"name": "dashboards", "rules": rules}]}),
    )?;
    command::output(
        Command::new(promtool_program()?)
            .args(["check", "rules"])
            .arg(file.path()),
    )?;
    Ok(())
}

/// Argo CD's way of calling it: `obj` is the object, and what the script returns has a status and a message.
fn health() -> Result<Outcome> {
    packages::install(&BTreeSet::from(["lua5.4"]))?;
    command::output(
        Command::new("lua5.4")
            .arg("test_health.lua")
            .current_dir(workspace::root().join(HEALTH)),
    )?;
    Ok(Outcome::Passed)
}
