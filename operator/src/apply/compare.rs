//! Whether a live object already is what would be applied.
//!
//! Two questions, as each misses what the other sees: is the digest of what was last applied the
//! same (a field that is no longer applied leaves no other trace), and does the live object still
//! hold every field (somebody may have changed one).

use kube::Resource;
use serde::Serialize;
use serde_json::Value;

use crate::dereference::short_digest;
use crate::quantity::Quantity;

/// The annotation that holds the digest of what was last applied.
pub const DIGEST: &str = "rates.internal/applied";

/// The keys by which Kubernetes merges lists, most telling first.
const KEYS: [&str; 6] = ["uid", "name", "mountPath", "containerPort", "port", "type"];

/// Adds the digest of the object to it.
pub fn sign<K: Resource + Serialize>(object: &mut K) -> Result<(), serde_json::Error> {
    // Which version a change is made to is nothing of what is wanted.
    let version = object.meta_mut().resource_version.take();
    let digest = short_digest(&[&serde_json::to_vec(object)?]);
    object.meta_mut().resource_version = version;
    object
        .meta_mut()
        .annotations
        .get_or_insert_default()
        .insert(DIGEST.to_owned(), digest);
    Ok(())
}

/// Whether `live` holds everything of `desired`; what else it holds is others' business.
pub fn holds(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => {
            desired.iter().all(|(key, value)| match live.get(key) {
                Some(live) => holds(live, value),
                None => is_empty(value),
            })
        }
        (Value::Array(live), Value::Array(desired)) => match merge_key(desired) {
            Some(key) => desired.iter().all(|item| {
                live.iter()
                    .any(|live| live.get(key) == item.get(key) && holds(live, item))
            }),
            None => live.len() == desired.len() && live.iter().zip(desired).all(|(l, d)| holds(l, d)),
        },
        (Value::String(live), Value::String(desired)) if live != desired => {
            // The API server writes quantities its own way.
            matches!((Quantity::parse(live), Quantity::parse(desired)), (Some(l), Some(d)) if l == d)
        }
        (live, desired) => live == desired,
    }
}

/// The server drops what is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn merge_key(items: &[Value]) -> Option<&'static str> {
    KEYS.into_iter()
        .find(|key| !items.is_empty() && items.iter().all(|item| item.get(key).is_some()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::holds;

    #[test]
    fn what_others_added_is_left_alone() {
        let live =
            json!({"a": 1, "list": [{"name": "injected"}, {"name": "ours", "image": "x", "more": true}]});
        assert!(holds(&live, &json!({"list": [{"name": "ours", "image": "x"}]})));
        assert!(!holds(&live, &json!({"list": [{"name": "ours", "image": "y"}]})));
        assert!(!holds(&live, &json!({"list": [{"name": "missing"}]})));
    }

    #[test]
    fn quantities_compare_as_numbers_and_texts_as_texts() {
        assert!(holds(&json!({"memory": "1Gi"}), &json!({"memory": "1024Mi"})));
        assert!(!holds(&json!({"memory": "6G"}), &json!({"memory": "6Gi"})));
        assert!(!holds(&json!({"image": "a"}), &json!({"image": "b"})));
    }

    #[test]
    fn plain_lists_are_equal_only_as_a_whole_and_empty_parts_may_be_absent() {
        assert!(!holds(
            &json!({"verbs": ["get", "list"]}),
            &json!({"verbs": ["get"]})
        ));
        assert!(holds(&json!({}), &json!({"emptyDir": {}, "env": []})));
        assert!(!holds(&json!({}), &json!({"replicas": 0})));
    }
}
