//! What a specification may say and had better not.

use super::profile::defaults;
use crate::crd::{Durability, RatesEnvironmentSpec};

/// What is legal and unwise, for the person who wrote it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// The reason of an Event.
    pub reason: &'static str,
    pub message: String,
}

/// Proxies in a cluster of one node need about that long to learn of a pod.
const SHORTEST_PROPAGATION: i32 = 2;
/// All that is unwise in a specification. `instances` are those of the database, which the specification need not say.
#[must_use]
pub fn warnings(spec: &RatesEnvironmentSpec, instances: i32) -> Vec<Warning> {
    let image = |field: &str, image: Option<&String>| {
        let image = image.filter(|image| is_untagged(image))?;
        Some(Warning {
            reason: "ImageWithoutTag",
            message: format!(
                "spec.{field} {image} names no version: what it means changes, and no rollout follows when it does; add a tag such as :2026-11-22, or a digest"
            ),
        })
    };
    let rollout = &spec.api.rollout;
    let propagation = (rollout.propagation_seconds < SHORTEST_PROPAGATION).then(|| Warning {
        reason: "ShortPropagation",
        message: format!(
            "spec.api.rollout.propagationSeconds {} is less than proxies need to notice that a pod ends: requests that they still send to it are lost; set at least {SHORTEST_PROPAGATION}",
            rollout.propagation_seconds
        ),
    });
    let waits = defaults(spec.profile).database_drain_seconds;
    let long = rollout.max_batch_seconds.filter(|seconds| *seconds > waits);
    let batches = long.map(|seconds| Warning {
        reason: "LongBatches",
        message: format!(
            "spec.api.rollout.maxBatchSeconds {seconds}: a pod that ends, and the drain of its node, may take that long; a restart of the database waits {waits} s for batches ({:?}) and then interrupts them",
            spec.profile
        ),
    });
    let stops = (spec.database.durability == Some(Durability::Required) && instances == 2).then(|| Warning {
        reason: "OneLossStopsWrites",
        message: "spec.database.durability Required with 2 instances: while one of them is away, nothing is written, as every commit waits for the other; set spec.database.instances to 3, or durability to Preferred".to_owned(),
    });
    [
        image("api.image", spec.api.image.as_ref()),
        image("database.image", spec.database.image.as_ref()),
        propagation,
        batches,
        stops,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether a reference has neither a digest nor a tag of its own. A registry's port is no tag.
fn is_untagged(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    !image.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(change: impl FnOnce(&mut RatesEnvironmentSpec)) -> Vec<&'static str> {
        let mut spec = RatesEnvironmentSpec::default();
        change(&mut spec);
        let instances = spec.database.instances.unwrap_or(1);
        warnings(&spec, instances)
            .iter()
            .map(|warning| warning.reason)
            .collect()
    }

    #[test]
    fn an_image_has_a_tag_of_its_own_or_a_digest() {
        for image in [
            "rates-api",
            "quay.example:5000/rates-api",
            "quay.example/rates-api:latest",
        ] {
            let told = reasons(|spec| spec.api.image = Some(image.to_owned()));
            assert_eq!(told, ["ImageWithoutTag"], "{image}");
        }
        for image in [
            "rates-api:1",
            "quay.example:5000/rates-api:1",
            "rates-api@sha256:00",
        ] {
            assert!(
                reasons(|spec| spec.api.image = Some(image.to_owned())).is_empty(),
                "{image}"
            );
        }
        let own = reasons(|spec| spec.database.image = Some("postgres".to_owned()));
        assert_eq!(own, ["ImageWithoutTag"]);
    }

    #[test]
    fn times_that_lose_requests_or_keep_nodes_are_told() {
        assert_eq!(
            reasons(|spec| spec.api.rollout.propagation_seconds = 0),
            ["ShortPropagation"]
        );
        assert_eq!(
            reasons(|spec| spec.api.rollout.max_batch_seconds = Some(61)),
            ["LongBatches"]
        );
        assert!(reasons(|_| ()).is_empty());
    }

    #[test]
    fn two_instances_of_which_either_stops_writes_are_told() {
        let told = |instances, durability| {
            reasons(|spec| {
                spec.database.instances = Some(instances);
                spec.database.durability = durability;
            })
        };
        assert_eq!(told(2, Some(Durability::Required)), ["OneLossStopsWrites"]);
        assert!(told(2, None).is_empty() && told(2, Some(Durability::Preferred)).is_empty());
        assert!(
            told(3, Some(Durability::Required)).is_empty() && told(1, Some(Durability::Required)).is_empty()
        );
    }
}
