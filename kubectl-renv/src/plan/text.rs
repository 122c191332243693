//! A plan for people.

use std::fmt::Write as _;

use serde_json::Value;

use super::change::Change;
use super::difference::Field;
use crate::redact::redact_object;

/// How many fields of pods are named.
const NAMED: usize = 6;

/// What changes, then what that does.
#[must_use]
pub fn draw(change: &Change) -> String {
    let mut text = format!(
        "{}/{}: {}\n",
        change.namespace,
        change.name,
        match change.action {
            "create" => "would be made",
            "none" => "nothing would change",
            _ => "would change",
        }
    );
    // All of a new one is new.
    let fields = change.fields.iter().filter(|_| change.action == "update");
    for field in fields {
        let sign = match (&field.from, &field.to) {
            (Value::Null, _) => '+',
            (_, Value::Null) => '-',
            _ => '~',
        };
        let _ = writeln!(text, "  {sign} spec.{}", said(field));
    }
    text.push('\n');
    for (part, effect) in effects(change) {
        let _ = writeln!(text, "{part:10}{effect}");
    }
    for note in &change.notes {
        let _ = writeln!(text, "note      {note}");
    }
    text
}

fn effects(change: &Change) -> Vec<(&'static str, String)> {
    let mut effects = Vec::new();
    let database = &change.database;
    if database.restarts {
        effects.push((
            "database",
            format!("restarts, batches finish first: {}", listed(&database.because)),
        ));
    }
    if let Some([had, has]) = database.instances {
        let how = if has > had {
            "new ones copy the primary, and the first pod is replaced at the end"
        } else {
            "the volumes of those that go are deleted"
        };
        effects.push(("database", format!("goes from {had} to {has} instances: {how}")));
    }
    if !database.parameters.is_empty() {
        let names = database.parameters.join(", ");
        effects.push((
            "database",
            match &database.parameters_restart {
                _ if database.restarts => format!("takes other parameters: {names}"),
                None => format!("reloads parameters, and restarts where PostgreSQL needs it: {names}"),
                Some(restarting) if restarting.is_empty() => {
                    format!("reloads parameters, no restart: {names}")
                }
                Some(restarting) => format!(
                    "restarts for {}, batches finish first; parameters: {names}",
                    restarting.join(", ")
                ),
            },
        ));
    }
    if change.seed {
        effects.push(("seed", "data are loaded".to_owned()));
    }
    if change.migration && change.action == "update" {
        effects.push((
            "tables",
            "migrations of the image run before its pods come".to_owned(),
        ));
    }
    if change.api.rollout {
        effects.push((
            "api",
            format!("rollout, no request is lost: {}", listed(&change.api.because)),
        ));
    }
    if let Some([had, has]) = change.api.replicas {
        effects.push(("api", format!("goes from {had} to {has} pods")));
    }
    for object in &change.objects {
        effects.push((
            "object",
            format!("{} {} is {}", object.kind, object.name, object.action),
        ));
    }
    if change.action == "create" {
        effects.push((
            "pods",
            "the database starts, its tables are made, then the API comes".to_owned(),
        ));
    }
    if effects.is_empty() && change.action == "update" {
        effects.push(("pods", "nothing is restarted".to_owned()));
    }
    effects
}

/// Of the API's pods: a digest of what is named beside it.
const REVISION: &str = "annotations.rates.internal/revision";

fn listed(fields: &[Field]) -> String {
    let fields: Vec<&Field> = fields
        .iter()
        .filter(|field| !field.path.ends_with(REVISION))
        .collect();
    let names: Vec<String> = fields.iter().take(NAMED).map(|field| said(field)).collect();
    let more = fields.len().saturating_sub(NAMED);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", names.join(", "))
}

/// A field with its values, where these are short.
fn said(field: &Field) -> String {
    let value = |value: &Value| match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => {
            let mut shown = other.clone();
            redact_object(&mut shown);
            shown.to_string()
        }
    };
    let (from, to) = (value(&field.from), value(&field.to));
    let is_short = from.len() + to.len() < 120 && !looks_secret(&field.path);
    match (&field.from, is_short) {
        (_, false) => field.path.clone(),
        (Value::Null, true) => format!("{}: {to}", field.path),
        (_, true) => format!("{}: {from} -> {to}", field.path),
    }
}

/// A variable's value may be a secret.
fn looks_secret(path: &str) -> bool {
    let name = path.strip_suffix(".value").map(str::to_ascii_lowercase);
    name.is_some_and(|name| {
        ["pass", "secret", "token", "key"]
            .iter()
            .any(|part| name.contains(part))
    })
}
