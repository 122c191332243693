//! Whether a live object already is what would be applied.
//!
//! Two questions, as each misses what the other sees. The digest of what was last applied shows a
//! field that is no longer applied. The merge of the desired object into the live one, by the rules
//! of Kubernetes' own schemas, shows a field that somebody changed: a list of the type `map` may
//! hold others' items, an atomic list may not.

use k8s_openapi::DeepMerge;
use kube::Resource;
use serde::Serialize;
use serde_json::{Value, json};

use crate::annotations::APPLIED;
use crate::digest::short_digest;
use crate::quantity::Quantity;

/// The steps from an object's root to one of its fields.
pub type Path = Vec<String>;

/// Lists of the type `map` in which nobody else has anything to add, by kind. Server-side apply
/// would leave what somebody adds, so that a merge patch sets the whole list.
const OURS_ALONE: [(&str, [&str; 2]); 1] = [("Service", ["spec", "ports"])];

/// Adds the digest of the object to it, and returns the digest.
pub fn sign<K: Resource + Serialize>(object: &mut K) -> Result<String, serde_json::Error> {
    // Which version a change is made to is nothing of what is wanted.
    let version = object.meta_mut().resource_version.take();
    let digest = short_digest(&[&serde_json::to_vec(object)?]);
    object.meta_mut().resource_version = version;
    object
        .meta_mut()
        .annotations
        .get_or_insert_default()
        .insert(APPLIED.to_owned(), digest.clone());
    Ok(digest)
}

/// The first field in which `live` is not as `desired` says; `None`: nothing is to be written.
pub fn difference<K>(live: &K, desired: &K) -> Result<Option<Path>, serde_json::Error>
where
    K: Clone + DeepMerge + Serialize,
{
    let mut merged = live.clone();
    merged.merge_from(desired.clone());
    let mut merged = serde_json::to_value(merged)?;
    replace_selectors(&mut merged, &serde_json::to_value(desired)?);
    let mut path = Path::new();
    let found = differs(&serde_json::to_value(live)?, &merged, &mut path);
    Ok(found.then_some(path))
}

/// Where `live` has more items than `desired` in a list that is the operator's alone: a merge
/// patch that removes them, and the list's path.
pub fn surplus<K>(live: &K, desired: &K) -> Result<Option<(Value, Path)>, serde_json::Error>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    let Some((_, [parent, list])) = OURS_ALONE.iter().find(|(kind, _)| *kind == K::kind(&())) else {
        return Ok(None);
    };
    let (live, desired) = (serde_json::to_value(live)?, serde_json::to_value(desired)?);
    let items = |object: &Value| object[parent][list].as_array().map_or(0, Vec::len);
    let place = vec![(*parent).to_owned(), (*list).to_owned()];
    let patch = || (json!({*parent: {*list: desired[parent][list]}}), place);
    Ok((items(&live) > items(&desired)).then(patch))
}

/// Label selectors are atomic as a whole (`x-kubernetes-map-type`), which the merge does not know.
fn replace_selectors(merged: &mut Value, desired: &Value) {
    let (Value::Object(merged), Value::Object(desired)) = (merged, desired) else {
        return;
    };
    for (key, value) in desired {
        match merged.get_mut(key) {
            Some(merged) if key.ends_with("elector") => *merged = value.clone(),
            Some(merged) => replace_selectors(merged, value),
            None => {}
        }
    }
}

/// Whether a live value and the same with what is desired merged into it differ, and where.
fn differs(live: &Value, merged: &Value, path: &mut Path) -> bool {
    match (live, merged) {
        (Value::Object(live), Value::Object(merged)) => {
            let gone = live.keys().find(|key| !merged.contains_key(*key));
            if let Some(key) = gone {
                path.push(key.clone());
                return true;
            }
            merged.iter().any(|(key, value)| {
                path.push(key.clone());
                let differs = match live.get(key) {
                    Some(live) => differs(live, value, path),
                    None => !is_dropped(value),
                };
                if !differs {
                    path.pop();
                }
                differs
            })
        }
        (Value::Array(live), Value::Array(merged)) => {
            // A place in a list is none of the names that fields have.
            let mut below = path.clone();
            live.len() != merged.len()
                || live
                    .iter()
                    .zip(merged)
                    .any(|(live, merged)| differs(live, merged, &mut below))
        }
        (Value::String(live), Value::String(merged)) if live != merged => !same_quantity(path, live, merged),
        (live, merged) => live != merged,
    }
}

/// The API server drops what is empty where its own types say so.
fn is_dropped(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_dropped),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The API server writes quantities its own way, and rounds a container's up to thousandths.
fn same_quantity(path: &[String], live: &str, merged: &str) -> bool {
    let [.., parent, field] = path else { return false };
    let resources = matches!(parent.as_str(), "limits" | "requests");
    if !resources && parent != "target" && !matches!(field.as_str(), "sizeLimit" | "tolerance") {
        return false;
    }
    match (Quantity::parse(live), Quantity::parse(merged)) {
        (Some(live), Some(merged)) if resources => live.rounded_up() == merged.rounded_up(),
        (Some(live), Some(merged)) => live == merged,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{PodSpec, Service};
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
    use serde::de::DeserializeOwned;

    use super::*;

    fn difference<K>(live: Value, desired: Value) -> Option<String>
    where
        K: Clone + DeepMerge + DeserializeOwned + Serialize,
    {
        let read = |value| serde_json::from_value::<K>(value).unwrap();
        let path = super::difference(&read(live), &read(desired)).unwrap();
        path.map(|path| path.join("."))
    }

    #[test]
    fn items_that_others_added_to_a_map_list_are_left_alone() {
        let ours = json!({"containers": [{"name": "ours", "image": "x"}]});
        let live = |image: &str| json!({"containers": [{"name": "injected"}, {"name": "ours", "image": image, "tty": true}]});
        assert_eq!(difference::<PodSpec>(live("x"), ours.clone()), None);
        assert_eq!(
            difference::<PodSpec>(live("y"), ours.clone()).unwrap(),
            "containers"
        );
        let without = json!({"containers": [{"name": "injected"}]});
        assert_eq!(difference::<PodSpec>(without, ours).unwrap(), "containers");
    }

    #[test]
    fn what_others_added_to_an_atomic_list_is_a_difference() {
        let ports = |ports: Value| json!({"spec": {"podSelector": {}, "ingress": [{"ports": ports}]}});
        let ours = ports(json!([{"protocol": "TCP", "port": 5432}]));
        assert_eq!(difference::<NetworkPolicy>(ours.clone(), ours.clone()), None);
        for live in [
            json!([{"protocol": "TCP", "port": 5432}, {"protocol": "TCP", "port": 22}]),
            json!([{"protocol": "TCP", "port": 5432, "endPort": 6000}]),
        ] {
            let found = difference::<NetworkPolicy>(ports(live), ours.clone());
            assert_eq!(found.unwrap(), "spec.ingress");
        }
        let subjects = |names: &[&str]| {
            let subject = |name| json!({"kind": "ServiceAccount", "name": name, "namespace": "quay"});
            let subjects: Vec<_> = names.iter().map(subject).collect();
            json!({"roleRef": {"apiGroup": "", "kind": "Role", "name": "r"}, "subjects": subjects})
        };
        let found = difference::<RoleBinding>(subjects(&["a", "b"]), subjects(&["a"]));
        assert_eq!(found.unwrap(), "subjects");
        let rule = |names: Value| json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": names}]});
        let found = difference::<Role>(rule(json!(["a"])), rule(Value::Null));
        assert_eq!(found.unwrap(), "rules");
    }

    #[test]
    fn an_atomic_map_is_compared_as_a_whole() {
        let selector = |labels: Value| json!({"spec": {"selector": labels}});
        let found = difference::<Service>(
            selector(json!({"a": "b", "more": "c"})),
            selector(json!({"a": "b"})),
        );
        assert_eq!(found.unwrap(), "spec.selector.more");
        let policy = |labels: Value| json!({"spec": {"podSelector": {"matchLabels": labels}}});
        let found =
            difference::<NetworkPolicy>(policy(json!({"a": "b", "more": "c"})), policy(json!({"a": "b"})));
        assert_eq!(found.unwrap(), "spec.podSelector.matchLabels.more");
    }

    #[test]
    fn a_port_that_was_added_to_a_service_is_surplus() {
        let service = |ports: &[i32]| -> Service {
            let ports: Vec<_> = ports.iter().map(|port| json!({"port": port})).collect();
            serde_json::from_value(json!({"spec": {"ports": ports}})).unwrap()
        };
        let found = surplus(&service(&[80, 22]), &service(&[80])).unwrap();
        let (patch, place) = found.unwrap();
        assert_eq!(patch["spec"]["ports"].as_array().unwrap().len(), 1);
        assert_eq!(place, ["spec", "ports"]);
        assert!(surplus(&service(&[80]), &service(&[80])).unwrap().is_none());
    }

    #[test]
    fn quantities_compare_as_the_api_server_stores_them_and_texts_as_texts() {
        let cpu = |amount: &str| json!({"containers": [{"name": "a", "image": "1", "resources": {"requests": {"cpu": amount}}}]});
        for (live, desired) in [("334m", "0.3333"), ("1", "1000m"), ("1Gi", "1024Mi")] {
            assert_eq!(difference::<PodSpec>(cpu(live), cpu(desired)), None, "{desired}");
        }
        assert!(difference::<PodSpec>(cpu("6G"), cpu("6Gi")).is_some());
        let variable =
            |value: &str| json!({"containers": [{"name": "a", "env": [{"name": "x", "value": value}]}]});
        assert!(difference::<PodSpec>(variable("1"), variable("1000m")).is_some());
    }

    #[test]
    fn empty_parts_may_be_absent_and_zeros_may_not() {
        let volume = |source: Value| json!({"containers": [], "volumes": [source]});
        let ours = volume(json!({"name": "a", "emptyDir": {}}));
        assert_eq!(difference::<PodSpec>(volume(json!({"name": "a"})), ours), None);
        let empty = json!({"containers": [{"name": "a", "env": [{"name": "x", "value": ""}]}]});
        let live = json!({"containers": [{"name": "a", "env": [{"name": "x"}]}]});
        assert_eq!(difference::<PodSpec>(live, empty), None);
        let token =
            |mounted: Option<bool>| json!({"containers": [], "automountServiceAccountToken": mounted});
        let found = difference::<PodSpec>(token(None), token(Some(false)));
        assert_eq!(found.unwrap(), "automountServiceAccountToken");
    }
}
