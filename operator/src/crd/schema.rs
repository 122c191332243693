//! What the derived schema needs before an API server takes it as people expect it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use serde::{Deserialize, Deserializer};

/// Makes an explicit null mean the same as an absent field, and joins the lines of the descriptions, which
/// `kubectl explain` breaks by itself.
///
/// The API server removes a null by itself where a field is not `nullable`, but not under server-side apply: there it
/// replaces a null by the default, and refuses it where there is none. So a field that may be absent and has no default is
/// `nullable`, and the rules' `has()`, which is true of a null, also asks for a value. Only `api.replicas` is not: the scale
/// subresource reads it, and takes no null.
pub fn tidy(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        if let Some(root) = version
            .schema
            .as_mut()
            .and_then(|s| s.open_api_v3_schema.as_mut())
        {
            walk(root);
            not_nullable(root, &["spec", "api", "replicas"]);
        }
    }
    definition
}

fn walk(schema: &mut JSONSchemaProps) {
    let required = schema.required.clone().unwrap_or_default();
    for (name, property) in schema.properties.iter_mut().flatten() {
        let may_be_null = property.default.is_none() && !required.contains(name);
        property.nullable = may_be_null.then_some(true);
    }
    for validation in schema.x_kubernetes_validations.iter_mut().flatten() {
        validation.rule = asking_for_values(&validation.rule);
    }
    schema.description = schema.description.take().map(|text| join_lines(&text));
    schema
        .properties
        .iter_mut()
        .flatten()
        .for_each(|(_, property)| walk(property));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        walk(items);
    }
}

fn not_nullable(schema: &mut JSONSchemaProps, path: &[&str]) {
    let Some((name, rest)) = path.split_first() else {
        schema.nullable = None;
        return;
    };
    if let Some(property) = schema
        .properties
        .as_mut()
        .and_then(|properties| properties.get_mut(*name))
    {
        not_nullable(property, rest);
    }
}

/// A rule whose every `has(field)` is false of a null too.
fn asking_for_values(rule: &str) -> String {
    let mut parts = rule.split("has(");
    let beginning = parts.next().unwrap_or_default().to_owned();
    parts.fold(beginning, |asking, part| {
        let (field, rest) = part.split_once(')').unwrap_or((part, ""));
        format!("{asking}(has({field}) && dyn({field}) != null){rest}")
    })
}

/// One line a paragraph; indented lines, which are examples, stay as they are.
fn join_lines(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for line in text.lines() {
        let continues =
            !joined.is_empty() && !joined.ends_with('\n') && !line.is_empty() && !line.starts_with(' ');
        if continues {
            joined.push(' ');
        } else if !joined.is_empty() {
            joined.push('\n');
        }
        joined.push_str(line);
    }
    joined
}

/// For fields that are empty when they are absent.
pub fn null_is_absent<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    value: D,
) -> Result<T, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}
