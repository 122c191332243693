//! Patroni's own settings: how fast it notices that a primary is lost, and what a commit waits for.
//!
//! One instance has nobody to take over: it renews its leader key as rarely as it may, for the API server's sake, and
//! no commit waits. With several, a lost process is noticed within seconds, a lost node within 20 s, which Patroni
//! takes as the least, and a commit waits for one standby.

use serde_json::{Map, Value, json};

use super::instances::Instances;
use crate::crd::Durability;
use crate::patroni::Cluster;
use crate::quantity::Quantity;

const MODE: &str = "synchronous_mode";
const STRICT: &str = "synchronous_mode_strict";
const QUORUM: &str = "quorum";
/// What is there with several instances alone, and goes with the last standby.
const OF_SEVERAL: [&str; 5] = [
    MODE,
    STRICT,
    "synchronous_node_count",
    "primary_start_timeout",
    "primary_stop_timeout",
];

pub const SLOT_LIMIT: &str = "max_slot_wal_keep_size";

/// Puts the settings into those that are in force, and gives them. What else is in there stays.
pub fn put_into(
    config: &mut Map<String, Value>,
    instances: Instances,
    cluster: &Cluster,
) -> Vec<(&'static str, Value)> {
    let was_replicated = config.get(MODE).is_some_and(|mode| mode == QUORUM);
    if !instances.replicated {
        if was_replicated {
            config.retain(|name, _| !OF_SEVERAL.contains(&name.as_str()));
        }
        return put(
            config,
            vec![
                ("ttl", json!(30)),
                ("loop_wait", json!(10)),
                ("retry_timeout", json!(10)),
            ],
        );
    }
    // A new cluster has no standby yet, and promised nothing: it is seeded before there is one.
    let was_strict = was_replicated && config.get(STRICT).is_some_and(|strict| strict == true);
    let has_standby = !cluster.standbys.is_empty() && cluster.synchronised_with == cluster.leader;
    let strict = instances.durability == Durability::Required && (was_strict || has_standby);
    put(
        config,
        vec![
            ("ttl", json!(20)),
            ("loop_wait", json!(2)),
            ("retry_timeout", json!(3)),
            // Another instance is faster than a server that recovers.
            ("primary_start_timeout", json!(0)),
            // A server that waits for a frozen standby while it stops is killed; what it acknowledged is on disk.
            ("primary_stop_timeout", json!(30)),
            (MODE, json!(QUORUM)),
            (STRICT, json!(strict)),
            ("synchronous_node_count", json!(1)),
            ("failsafe_mode", json!(true)),
        ],
    )
}

/// As if every commit had had to wait for a standby before.
pub fn be_strict(config: &mut Map<String, Value>, instances: Instances) {
    if instances.replicated {
        put(config, vec![(MODE, json!(QUORUM)), (STRICT, json!(true))]);
    }
}

fn put(config: &mut Map<String, Value>, settings: Vec<(&'static str, Value)>) -> Vec<(&'static str, Value)> {
    for (name, value) in &settings {
        config.insert((*name).to_owned(), value.clone());
    }
    settings
}

/// The server's parameters that go with several instances. A standby that is away may keep a quarter of the volume
/// from being freed; the limit stays while a slot of a standby may.
pub fn parameters(instances: Instances, size: &Quantity, had_limit: bool) -> Vec<(&'static str, Value)> {
    let limit = (size.bytes() / 4 / (1 << 20)).max(64);
    let limit = (SLOT_LIMIT, Value::from(format!("{limit}MB")));
    match (instances.replicated, had_limit) {
        (true, _) => vec![
            ("wal_sender_timeout", Value::from("10s")),
            ("wal_receiver_timeout", Value::from("10s")),
            limit,
        ],
        (false, true) => vec![limit],
        (false, false) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instances(wanted: u8, durability: Durability) -> Instances {
        Instances {
            wanted,
            present: wanted,
            durability,
            replicated: wanted > 1,
        }
    }

    fn cluster(standbys: &[&str]) -> Cluster {
        Cluster {
            leader: Some("pier-postgres-0".to_owned()),
            synchronised_with: Some("pier-postgres-0".to_owned()),
            standbys: standbys.iter().map(|&name| name.to_owned()).collect(),
            ..Cluster::default()
        }
    }

    fn after(before: &Value, instances: Instances, standbys: &[&str]) -> Value {
        let mut config = before.as_object().unwrap().clone();
        put_into(&mut config, instances, &cluster(standbys));
        Value::Object(config)
    }

    #[test]
    fn writes_wait_for_a_standby_always_once_there_was_one() {
        let required = instances(3, Durability::Required);
        let new = after(&json!({"pause": true}), required, &[]);
        assert_eq!((&new[MODE], &new[STRICT]), (&json!("quorum"), &json!(false)));
        assert_eq!((&new["ttl"], &new["pause"]), (&json!(20), &json!(true)));
        let replicated = after(&new, required, &["pier-postgres-1"]);
        assert_eq!(replicated[STRICT], true);
        let alone = after(&replicated, required, &[]);
        assert_eq!(alone[STRICT], true, "and stays so without one");
        let preferred = instances(3, Durability::Preferred);
        assert_eq!(after(&alone, preferred, &["pier-postgres-1"])[STRICT], false);
    }

    #[test]
    fn a_record_of_another_primarys_standbys_makes_nothing_strict() {
        let mut config = Map::new();
        let mut cluster = cluster(&["pier-postgres-1"]);
        cluster.synchronised_with = Some("pier-postgres-2".to_owned());
        put_into(&mut config, instances(3, Durability::Required), &cluster);
        assert_eq!(config[STRICT], false);
    }

    #[test]
    fn one_instance_is_as_slow_as_it_may_be_and_waits_for_nobody() {
        let several = after(&json!({"theirs": 1}), instances(2, Durability::Required), &[]);
        let one = after(&several, instances(1, Durability::Preferred), &[]);
        assert_eq!(
            one,
            json!({"theirs": 1, "ttl": 30, "loop_wait": 10, "retry_timeout": 10, "failsafe_mode": true})
        );
        let theirs = json!({"primary_stop_timeout": 7});
        assert_eq!(
            after(&theirs, instances(1, Durability::Preferred), &[])["primary_stop_timeout"],
            7
        );
    }

    #[test]
    fn the_slots_keep_a_part_of_the_volume_at_most() {
        let size = |text: &str| Quantity::parse(text).unwrap();
        let of = |wanted, text: &str, had| {
            parameters(instances(wanted, Durability::Required), &size(text), had)
                .into_iter()
                .find(|(name, _)| *name == SLOT_LIMIT)
                .map(|(_, value)| value)
        };
        assert_eq!(of(3, "1Gi", false), Some(json!("256MB")));
        assert_eq!(of(3, "256Mi", false), Some(json!("64MB")));
        assert_eq!(of(1, "1Gi", false), None);
        assert_eq!(of(1, "1Gi", true), Some(json!("256MB")));
    }
}
