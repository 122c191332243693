//! Each rule of the definition, met and broken, as a person would: with kubectl.

use serde_json::{Value, json};

use crate::server::{self, Server};

fn environment(name: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "rates.internal/v1alpha1",
        "kind": "RatesEnvironment",
        "metadata": {"name": name},
        "spec": spec,
    })
    .to_string()
}

/// A dry run: admission decides, nothing is kept.
fn try_apply(server: &Server, name: &str, spec: &Value) -> server::Answer {
    server.kubectl(
        &[
            "-n",
            "default",
            "apply",
            "--validate=strict",
            "--dry-run=server",
            "-f",
            "-",
        ],
        &environment(name, spec),
    )
}

pub fn accepts(server: &Server, spec: &Value) {
    let answer = try_apply(server, "harbour-7", spec);
    assert!(answer.ok, "should be accepted: {spec}\n{}", answer.text);
}

pub fn refuses(server: &Server, spec: &Value, says: &str) {
    let answer = try_apply(server, "harbour-7", spec);
    assert!(
        !answer.ok && answer.text.contains(says),
        "should be refused with {says:?}: {spec}\n{}",
        answer.text
    );
}

#[test]
fn the_smallest_and_the_fullest_specification_are_accepted() {
    let Some(server) = server::shared() else { return };
    accepts(server, &json!({}));
    accepts(
        server,
        &json!({
            "profile": "Staging",
            "database": {
                "version": "17",
                "instances": 1,
                "storage": {"size": "2500Mi", "storageClassName": "fast.local", "retain": true},
                "seed": {"configMap": {"name": "rates-dump", "key": "rates.sql.gz"}},
            },
            "api": {
                "image": "registry.example:5000/rates-api@sha256:00ff",
                "autoscaling": {"minReplicas": 2, "maxReplicas": 6, "targetCPUUtilizationPercentage": 70},
                "rollout": {"propagationSeconds": 0},
            },
        }),
    );
    accepts(
        server,
        &json!({"database": {"image": "localhost/pg:1"}, "api": {"replicas": 1}}),
    );
    accepts(
        server,
        &json!({"profile": "Production", "database": {"seed": {"bundled": {}}}}),
    );
}

#[test]
fn an_unknown_profile_is_refused_with_the_known_ones() {
    let Some(server) = server::shared() else { return };
    refuses(
        server,
        &json!({"profile": "Tiny"}),
        r#"supported values: "Production", "Staging", "Preview""#,
    );
}

#[test]
fn unknown_fields_are_refused_under_strict_validation() {
    let Some(server) = server::shared() else { return };
    refuses(
        server,
        &json!({"suspend": true}),
        r#"unknown field "spec.suspend""#,
    );
    refuses(
        server,
        &json!({"database": {"sed": {}}}),
        r#"unknown field "spec.database.sed""#,
    );
    refuses(
        server,
        &json!({"database": {"seed": {"bundled": {"a": 1}}}}),
        "unknown field",
    );
}

#[test]
fn replicas_and_autoscaling_exclude_each_other() {
    let Some(server) = server::shared() else { return };
    refuses(
        server,
        &json!({"api": {"replicas": 2, "autoscaling": {"maxReplicas": 4}}}),
        "set api.replicas or api.autoscaling, not both: an autoscaler owns the number of replicas",
    );
    accepts(
        server,
        &json!({"api": {"replicas": null, "autoscaling": {"maxReplicas": 4}}}),
    );
}

#[test]
fn the_autoscaler_needs_a_sane_range() {
    let Some(server) = server::shared() else { return };
    let autoscaling = |value: Value| json!({"api": {"autoscaling": value}});
    accepts(server, &autoscaling(json!({"minReplicas": 4, "maxReplicas": 4})));
    refuses(
        server,
        &autoscaling(json!({"minReplicas": 5, "maxReplicas": 4})),
        "minReplicas must not exceed maxReplicas",
    );
    refuses(
        server,
        &autoscaling(json!({"minReplicas": 1})),
        "spec.api.autoscaling.maxReplicas: Required value",
    );
    refuses(
        server,
        &autoscaling(json!({"minReplicas": 0, "maxReplicas": 4})),
        "greater than or equal to 1",
    );
    refuses(
        server,
        &autoscaling(json!({"maxReplicas": 101})),
        "less than or equal to 100",
    );
    refuses(
        server,
        &autoscaling(json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 0})),
        "greater than or equal to 1",
    );
}

#[test]
fn a_seed_has_exactly_one_source() {
    let Some(server) = server::shared() else { return };
    let seed = |value: Value| json!({"database": {"seed": value}});
    let says = "a seed has exactly one source: set either bundled or configMap";
    refuses(server, &seed(json!({})), says);
    refuses(
        server,
        &seed(json!({"bundled": {}, "configMap": {"name": "a", "key": "b"}})),
        says,
    );
    refuses(
        server,
        &seed(json!({"configMap": {"name": "a"}})),
        "spec.database.seed.configMap.key: Required value",
    );
    refuses(
        server,
        &seed(json!({"configMap": {"name": "A b", "key": "b"}})),
        "should match",
    );
    refuses(
        server,
        &seed(json!({"configMap": {"name": "a", "key": "../b"}})),
        "should match",
    );
    accepts(server, &seed(json!({"configMap": {"name": "a", "key": "b"}})));
}

#[test]
fn numbers_and_texts_have_bounds() {
    let Some(server) = server::shared() else { return };
    let propagation = |seconds: i32| json!({"api": {"rollout": {"propagationSeconds": seconds}}});
    accepts(server, &propagation(300));
    refuses(server, &propagation(301), "less than or equal to 300");
    refuses(server, &propagation(-1), "greater than or equal to 0");
    refuses(
        server,
        &json!({"api": {"replicas": 101}}),
        "less than or equal to 100",
    );
    refuses(
        server,
        &json!({"api": {"replicas": 0}}),
        "greater than or equal to 1",
    );
    refuses(server, &json!({"api": {"image": "a b"}}), "should match");
    refuses(
        server,
        &json!({"database": {"instances": 2}}),
        "database.instances must be 1",
    );
    refuses(
        server,
        &json!({"database": {"version": "latest"}}),
        "should match",
    );
    refuses(
        server,
        &json!({"database": {"version": "17", "image": "x"}}),
        "set database.version or database.image, not both",
    );
}

#[test]
fn the_size_of_the_volume_is_a_sane_quantity() {
    let Some(server) = server::shared() else { return };
    let size = |value: &str| json!({"database": {"storage": {"size": value}}});
    for good in ["256Mi", "1Gi", "1.5Gi", "1e9", "300000000", "64Ti"] {
        accepts(server, &size(good));
    }
    for bad in ["255Mi", "1GB", "lots", "-1Gi", "65Ti", "100m"] {
        refuses(
            server,
            &size(bad),
            "must be a quantity of bytes from 256Mi to 64Ti, such as 1Gi or 500Mi",
        );
    }
}

#[test]
fn the_name_leaves_room_for_the_names_made_of_it() {
    let Some(server) = server::shared() else { return };
    let forty = "a".repeat(40);
    for good in ["x", "pr-42", forty.as_str()] {
        let answer = try_apply(server, good, &json!({}));
        assert!(answer.ok, "{good}: {}", answer.text);
    }
    let long = "a".repeat(41);
    for bad in ["4pr", "a.b", long.as_str()] {
        let answer = try_apply(server, bad, &json!({}));
        assert!(
            !answer.ok
                && answer
                    .text
                    .contains("metadata.name must have at most 40 characters"),
            "{bad}: {}",
            answer.text
        );
    }
}

/// An environment that was made, with a status as the operator writes it.
fn made(server: &Server, name: &str, spec: &Value, database: &Value) {
    let created = server.apply("default", &environment(name, spec));
    assert!(created.ok, "{}", created.text);
    let patched = server.kubectl(
        &[
            "-n",
            "default",
            "patch",
            "renv",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &json!({"status": {"database": database}}).to_string(),
        ],
        "",
    );
    assert!(patched.ok, "{}", patched.text);
}

fn patch(server: &Server, name: &str, spec: &Value) -> server::Answer {
    let patch = json!({"spec": spec}).to_string();
    server.kubectl(
        &[
            "-n",
            "default",
            "patch",
            "renv",
            name,
            "--dry-run=server",
            "--type=merge",
            "-p",
            &patch,
        ],
        "",
    )
}

fn refuses_change(server: &Server, name: &str, spec: &Value, says: &str) {
    let answer = patch(server, name, spec);
    assert!(
        !answer.ok && answer.text.contains(says),
        "should be refused with {says:?}: {spec}\n{}",
        answer.text
    );
}

fn accepts_change(server: &Server, name: &str, spec: &Value) {
    let answer = patch(server, name, spec);
    assert!(answer.ok, "should be accepted: {spec}\n{}", answer.text);
}

#[test]
fn the_seed_may_change_until_it_was_loaded_and_not_after() {
    let Some(server) = server::shared() else { return };
    let bundled = json!({"database": {"seed": {"bundled": {}}}});
    let says = "spec.database.seed cannot change once the database was seeded";
    let other = json!({"database": {"seed": {"bundled": null, "configMap": {"name": "a", "key": "b"}}}});

    made(server, "unseeded", &bundled, &json!({"instances": 1}));
    accepts_change(server, "unseeded", &other);
    accepts_change(server, "unseeded", &json!({"database": {"seed": null}}));

    made(
        server,
        "seeded",
        &bundled,
        &json!({"seed": {"source": "bundled"}}),
    );
    refuses_change(server, "seeded", &other, says);
    refuses_change(server, "seeded", &json!({"database": {"seed": null}}), says);
    refuses_change(server, "seeded", &json!({"database": null}), says);
    accepts_change(server, "seeded", &json!({"api": {"replicas": 2}}));

    made(
        server,
        "seeded-empty",
        &json!({}),
        &json!({"seed": {"source": "none"}}),
    );
    refuses_change(server, "seeded-empty", &bundled, says);
    accepts_change(server, "seeded-empty", &json!({"api": {"replicas": 2}}));
}

#[test]
fn a_volume_grows_and_never_shrinks_or_moves() {
    let Some(server) = server::shared() else { return };
    let storage = |value: Value| json!({"database": {"storage": value}});
    made(
        server,
        "volume",
        &storage(json!({"size": "2Gi"})),
        &json!({"storage": {"size": "2Gi"}}),
    );
    accepts_change(server, "volume", &storage(json!({"size": "3Gi"})));
    accepts_change(server, "volume", &storage(json!({"size": "2048Mi"})));
    accepts_change(server, "volume", &storage(json!({"size": null})));
    accepts_change(server, "volume", &storage(json!({"retain": true})));
    refuses_change(server, "volume", &storage(json!({"size": "2G"})), "cannot shrink");
    refuses_change(
        server,
        "volume",
        &storage(json!({"size": "1Gi"})),
        "cannot shrink",
    );
    let says = "storageClassName cannot change once the volume was created";
    refuses_change(
        server,
        "volume",
        &storage(json!({"storageClassName": "other"})),
        says,
    );

    let class = storage(json!({"storageClassName": "fast"}));
    made(
        server,
        "volume-class",
        &class,
        &json!({"storage": {"size": "1Gi", "storageClassName": "fast"}}),
    );
    refuses_change(
        server,
        "volume-class",
        &storage(json!({"storageClassName": "slow"})),
        says,
    );
    refuses_change(
        server,
        "volume-class",
        &storage(json!({"storageClassName": null})),
        says,
    );
    refuses_change(
        server,
        "volume-class",
        &json!({"database": {"storage": null}}),
        says,
    );
    // The default size of 1Gi was pinned, so a smaller one can no longer be added.
    refuses_change(
        server,
        "volume-class",
        &storage(json!({"size": "512Mi"})),
        "cannot shrink",
    );

    made(server, "volume-not-made", &class, &json!({"instances": 1}));
    accepts_change(
        server,
        "volume-not-made",
        &storage(json!({"storageClassName": "slow"})),
    );
}

#[test]
fn the_major_version_is_fixed_once_the_database_was_made() {
    let Some(server) = server::shared() else { return };
    let version = |value: Value| json!({"database": {"version": value}});
    let says = "spec.database.version cannot change its major version";

    made(server, "old", &json!({}), &json!({"version": "13.5"}));
    accepts_change(server, "old", &version(json!("13.9")));
    accepts_change(
        server,
        "old",
        &json!({"database": {"image": "localhost/pg:mine"}}),
    );
    refuses_change(server, "old", &version(json!("17")), says);

    made(server, "new", &version(json!("17")), &json!({"version": "17"}));
    accepts_change(server, "new", &version(json!("17.2")));
    refuses_change(server, "new", &version(json!(null)), says);

    made(
        server,
        "version-not-made",
        &version(json!("99")),
        &json!({"instances": 1}),
    );
    accepts_change(server, "version-not-made", &version(json!("17")));
}

#[test]
fn kubectl_scale_sets_the_replicas_of_the_api_unless_an_autoscaler_does() {
    let Some(server) = server::shared() else { return };
    made(
        server,
        "scaled",
        &json!({"api": {"replicas": 1}}),
        &json!({"instances": 1}),
    );
    let scaled = server.kubectl(&["-n", "default", "scale", "renv/scaled", "--replicas=3"], "");
    assert!(scaled.ok, "{}", scaled.text);
    let replicas = server.kubectl(
        &[
            "-n",
            "default",
            "get",
            "renv",
            "scaled",
            "-o",
            "jsonpath={.spec.api.replicas}",
        ],
        "",
    );
    assert_eq!(replicas.text, "3");

    made(
        server,
        "autoscaled",
        &json!({"api": {"autoscaling": {"maxReplicas": 3}}}),
        &json!({"instances": 1}),
    );
    let refused = server.kubectl(&["-n", "default", "scale", "renv/autoscaled", "--replicas=3"], "");
    assert!(
        !refused.ok && refused.text.contains("not both"),
        "{}",
        refused.text
    );
}
