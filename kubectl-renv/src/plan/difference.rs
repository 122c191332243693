//! How two values differ, field by field.

use serde::Serialize;
use serde_json::Value;

/// A field that differs; null is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// Such as `database.parameters.work_mem`, or `containers[postgres].image`.
    pub path: String,
    pub from: Value,
    pub to: Value,
}

/// The fields that differ, the deepest ones that both have.
#[must_use]
pub fn differences(from: &Value, to: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    walk(String::new(), from, to, &mut found);
    found
}

fn walk(path: String, from: &Value, to: &Value, found: &mut Vec<Field>) {
    match (from, to) {
        (from, to) if from == to => {}
        (Value::Object(before), Value::Object(after)) => {
            let gone = before.keys().filter(|name| !after.contains_key(*name));
            for name in after.keys().chain(gone) {
                let below = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                let value =
                    |members: &serde_json::Map<String, Value>| members.get(name).cloned().unwrap_or_default();
                walk(below, &value(before), &value(after), found);
            }
        }
        (Value::Array(before), Value::Array(after)) if are_named(before) && are_named(after) => {
            let by_name =
                |items: &[Value], name: &Value| items.iter().find(|item| item["name"] == *name).cloned();
            let gone = before
                .iter()
                .filter(|item| by_name(after, &item["name"]).is_none());
            for item in after.iter().chain(gone) {
                let name = &item["name"];
                let below = format!("{path}[{}]", name.as_str().unwrap_or_default());
                let value = |items: &[Value]| by_name(items, name).unwrap_or_default();
                walk(below, &value(before), &value(after), found);
            }
        }
        (from, to) => found.push(Field {
            path,
            from: from.clone(),
            to: to.clone(),
        }),
    }
}

fn are_named(items: &[Value]) -> bool {
    items.iter().all(|item| item["name"].is_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_of_names_are_compared_by_name_and_others_as_a_whole() {
        let from =
            json!({"a": 1, "containers": [{"name": "x", "image": "1"}, {"name": "y"}], "list": [1, 2]});
        let to = json!({"b": 2, "containers": [{"name": "y"}, {"name": "x", "image": "2"}], "list": [1, 3]});
        let found: Vec<String> = differences(&from, &to)
            .into_iter()
            .map(|field| format!("{} {} {}", field.path, field.from, field.to))
            .collect();
        assert_eq!(
            found,
            [
                "b null 2",
                "containers[x].image \"1\" \"2\"",
                "list [1,2] [1,3]",
                "a 1 null"
            ]
        );
        assert_eq!(differences(&from, &from), []);
    }
}
