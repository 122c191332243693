//! What the derived schema needs before an API server takes it as people expect it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

/// Removes `nullable` everywhere: an explicit null is then pruned and defaulted like an absent
/// field, so that no rule has to tell the two apart. And joins the lines of the descriptions,
/// which `kubectl explain` breaks by itself.
pub fn tidy(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        if let Some(root) = version
            .schema
            .as_mut()
            .and_then(|s| s.open_api_v3_schema.as_mut())
        {
            walk(root);
        }
    }
    definition
}

fn walk(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
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
