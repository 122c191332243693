//! Schemas in a few words.

use std::fmt::Write as _;

use serde_json::Value;

use super::html::{escape, inline};

const SCHEMAS: &str = "#/components/schemas/";

/// What a value is, in one line: `integer or null, at least 1`.
pub fn summary(schema: &Value) -> String {
    if let Some(name) = reference(schema) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escape(name));
    }
    if let Some(value) = schema.get("const") {
        return format!("<code>{}</code>", escape(&value.to_string()));
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values
            .iter()
            .map(|value| format!("<code>{}</code>", escape(value.as_str().unwrap_or_default())))
            .collect();
        return values.join(" or ");
    }
    if let Some(forms) = schema["oneOf"].as_array() {
        return forms.iter().map(summary).collect::<Vec<_>>().join(", or ");
    }
    let mut text = match &schema["type"] {
        Value::String(one) if one == "array" => format!("array of {}", summary(&schema["items"])),
        Value::String(one) => escape(one),
        Value::Array(several) => {
            let names: Vec<&str> = several.iter().filter_map(Value::as_str).collect();
            escape(&names.join(" or "))
        }
        _ => "anything".to_owned(),
    };
    for (key, words) in [
        ("format", ", as"),
        ("minimum", ", at least"),
        ("maximum", ", at most"),
        ("minLength", ", length at least"),
        ("maxLength", ", length at most"),
        ("maxItems", ", number at most"),
        ("default", ", by default"),
    ] {
        match &schema[key] {
            Value::Null => {}
            Value::String(value) => {
                let _ = write!(text, "{words} {}", escape(value));
            }
            value => {
                let _ = write!(text, "{words} {value}");
            }
        }
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        let _ = write!(text, ", matching <code>{}</code>", escape(pattern));
    }
    text
}

/// The rows of an object's table: name, whether it is always there, what it is.
pub fn properties(schema: &Value) -> String {
    let required = |name: &str| {
        schema["required"]
            .as_array()
            .is_some_and(|names| names.iter().any(|required| required == name))
    };
    let Some(properties) = schema["properties"].as_object() else {
        return String::new();
    };
    let rows: String = properties
        .iter()
        .map(|(name, property)| {
            let description = property["description"].as_str().map(inline).unwrap_or_default();
            row(name, required(name), &summary(property), &description)
        })
        .collect();
    format!("<table>\n{rows}</table>\n")
}

/// One row about something that has a name; `what` and `description` are HTML.
pub fn row(name: &str, required: bool, what: &str, description: &str) -> String {
    let optional = if required {
        ""
    } else {
        " <span class=\"optional\">optional</span>"
    };
    format!(
        "<tr><th scope=\"row\"><code>{}</code>{optional}</th><td>{what}</td><td>{description}</td></tr>\n",
        escape(name)
    )
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
            assert_eq!(summary(&schema), expected);
        }
    }
}
