//! Schemas in a few words.

use maud::{Markup, html};
use serde_json::Value;

use super::text::inline;

const SCHEMAS: &str = "#/components/schemas/";

/// What limits a value, and the words for it.
const LIMITS: [(&str, &str); 7] = [
    ("format", "as"),
    ("minimum", "at least"),
    ("maximum", "at most"),
    ("minLength", "length at least"),
    ("maxLength", "length at most"),
    ("maxItems", "number at most"),
    ("default", "by default"),
];

/// What a value is, in one line: `integer or null, at least 1`.
pub fn summary(schema: &Value) -> Markup {
    html! {
        @if let Some(name) = reference(schema) {
            a href={ "#schema-" (name) } { (name) }
        } @else if let Some(value) = schema.get("const") {
            code { (value) }
        } @else if let Some(values) = schema["enum"].as_array() {
            @for (number, value) in values.iter().enumerate() {
                @if number > 0 { " or " }
                code { (plain(value)) }
            }
        } @else if let Some(forms) = schema["oneOf"].as_array() {
            @for (number, form) in forms.iter().enumerate() {
                @if number > 0 { ", or " }
                (summary(form))
            }
        } @else {
            (type_of(schema))
            @for (key, words) in LIMITS {
                @if let Some(limit) = schema.get(key) { ", " (words) " " (plain(limit)) }
            }
            @if let Some(pattern) = schema["pattern"].as_str() { ", matching " code { (pattern) } }
        }
    }
}

fn type_of(schema: &Value) -> Markup {
    html! {
        @match &schema["type"] {
            Value::String(one) if one == "array" => { "array of " (summary(&schema["items"])) }
            Value::Array(several) => {
                (several.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "))
            }
            Value::String(one) => { (one) }
            _ => { "anything" }
        }
    }
}

/// A text without its quotes, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// An object's table: name, whether it is always there, what it is.
pub fn properties(schema: &Value) -> Markup {
    let required = |name: &String| {
        schema["required"]
            .as_array()
            .is_some_and(|names| names.iter().any(|required| required == name))
    };
    html! {
        @if let Some(properties) = schema["properties"].as_object() {
            table {
                @for (name, property) in properties {
                    (row(name, required(name), &summary(property), &description(property)))
                }
            }
        }
    }
}

/// One row about something that has a name.
pub fn row(name: &str, required: bool, what: &Markup, description: &Markup) -> Markup {
    html! {
        tr {
            th scope="row" {
                code { (name) }
                @if !required { " " span.optional { "optional" } }
            }
            td { (what) }
            td { (description) }
        }
    }
}

/// The description of something that may have one.
pub fn description(of: &Value) -> Markup {
    inline(of["description"].as_str().unwrap_or_default())
}

/// The name of the schema that this refers to.
fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix(SCHEMAS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_said_in_one_line() {
        for (schema, expected) in [
            (
                json!({"type": ["integer", "null"], "minimum": 1}),
                "integer or null, at least 1",
            ),
            (json!({"type": "string", "format": "date"}), "string, as date"),
            (
                json!({"type": "array", "items": {"$ref": "#/components/schemas/Port"}}),
                "array of <a href=\"#schema-Port\">Port</a>",
            ),
            (json!({"const": "ready"}), "<code>&quot;ready&quot;</code>"),
            (json!({"enum": ["a", "b"]}), "<code>a</code> or <code>b</code>"),
        ] {
            assert_eq!(summary(&schema).into_string(), expected);
        }
    }
}
