//! Which fields of an object the operator applied, as its `managedFields` tell.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, ObjectMeta};

use crate::identity::MANAGER;

/// Whether this operator is among those who applied a field, given as its path in `managedFields`.
#[must_use]
pub fn applies(metadata: &ObjectMeta, path: &[&str]) -> bool {
    let ours = |entry: &&ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply")
    };
    metadata
        .managed_fields
        .iter()
        .flatten()
        .filter(ours)
        .any(|entry| {
            let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
            path.iter()
                .try_fold(fields, |fields, step| Some(fields?.get(step)))
                .flatten()
                .is_some()
        })
}

/// The fields of which it decides something whether the operator applied them.
const ASKED_FOR: [&[&str]; 2] = [&["f:spec", "f:replicas"], &["f:spec", "f:storageClassName"]];

/// Drops all of `managedFields`, often half of an object, that [`applies`] is not asked about.
pub fn only_what_we_apply(metadata: &mut ObjectMeta) {
    let mut fields = serde_json::Map::new();
    for path in ASKED_FOR.iter().filter(|path| applies(metadata, path)) {
        let mut level = &mut fields;
        for step in *path {
            let next = level.entry(*step).or_insert_with(|| serde_json::json!({}));
            let Some(next) = next.as_object_mut() else { break };
            level = next;
        }
    }
    metadata.managed_fields = (!fields.is_empty()).then(|| {
        vec![ManagedFieldsEntry {
            manager: Some(MANAGER.to_owned()),
            operation: Some("Apply".to_owned()),
            fields_v1: Some(FieldsV1(fields.into())),
            ..ManagedFieldsEntry::default()
        }]
    });
}
