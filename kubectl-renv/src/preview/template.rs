//! The template of a pull request's environment, as it is for one of them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::kind;

/// What is replaced in the texts of a template.
pub struct Variables<'a> {
    pub number: u64,
    pub name: &'a str,
    pub commit: Option<&'a str>,
}

/// Reads a template from a file; without one the flags say everything.
pub fn read(file: Option<&Path>) -> Result<Value> {
    let kind = kind();
    let Some(file) = file else {
        return Ok(json!({"apiVersion": kind.api_version, "kind": kind.kind, "spec": {}}));
    };
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let template: Value = serde_yaml::from_str(&text)
        .with_context(|| format!("{} is not one document of YAML", file.display()))?;
    ensure!(
        template["apiVersion"] == *kind.api_version && template["kind"] == *kind.kind,
        "{} is no {} of {}",
        file.display(),
        kind.kind,
        kind.api_version
    );
    Ok(template)
}

/// Replaces variables in the texts. They are replaced after the YAML was read, so that a value is never more than a text.
pub fn fill(value: &mut Value, variables: &Variables<'_>) -> Result<()> {
    match value {
        Value::String(text) => {
            for (variable, value) in [
                ("${NUMBER}", Some(variables.number.to_string())),
                ("${NAME}", Some(variables.name.to_owned())),
                ("${COMMIT}", variables.commit.map(str::to_owned)),
            ] {
                if text.contains(variable) {
                    let value =
                        value.with_context(|| format!("the template has {variable}: give it by --commit"))?;
                    *text = text.replace(variable, &value);
                }
            }
            ensure!(
                !text.contains("${"),
                "the template has {text:?}; it may have ${{NUMBER}}, ${{NAME}} and ${{COMMIT}}"
            );
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(item, variables)),
        Value::Object(members) => members
            .values_mut()
            .try_for_each(|member| fill(member, variables)),
        _ => Ok(()),
    }
}

/// Puts what the flags say over what the template says. A seed has one source: the flags' replaces the template's.
pub fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                if name == "seed" {
                    base.insert(name.clone(), value.clone());
                } else {
                    merge(base.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLES: Variables<'_> = Variables {
        number: 42,
        name: "pr-42",
        commit: Some("abc"),
    };

    #[test]
    fn texts_are_filled_in_and_nothing_else() {
        let mut template =
            json!({"spec": {"api": {"image": "r/api:${COMMIT}"}, "expose": {"host": "${NAME}.x"}, "n": 1}});
        fill(&mut template, &VARIABLES).unwrap();
        assert_eq!(template["spec"]["api"]["image"], "r/api:abc");
        assert_eq!(template["spec"]["expose"]["host"], "pr-42.x");
        let nobody = Variables {
            commit: None,
            ..VARIABLES
        };
        let refused = fill(&mut json!("${COMMIT}"), &nobody).unwrap_err().to_string();
        assert!(refused.contains("--commit"), "{refused}");
        assert!(fill(&mut json!("${BRANCH}"), &VARIABLES).is_err());
    }

    #[test]
    fn flags_count_more_than_the_template() {
        let mut spec = json!({"profile": "Preview", "database": {"seed": {"bundled": {}}, "version": "13.5"}, "api": {"replicas": 2}});
        merge(
            &mut spec,
            &json!({"database": {"seed": {"environment": {"name": "x"}}}, "api": {"image": "i"}}),
        );
        assert_eq!(
            spec,
            json!({
                "profile": "Preview",
                "database": {"seed": {"environment": {"name": "x"}}, "version": "13.5"},
                "api": {"replicas": 2, "image": "i"},
            })
        );
    }
}
