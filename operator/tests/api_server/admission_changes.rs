//! What of an environment may change once it was made, tried as a person would: with kubectl.

use serde_json::{Value, json};

use crate::admission::environment;
use crate::server::{self, Server};

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
    let server = server::shared();
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
    let server = server::shared();
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
    let server = server::shared();
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

/// As when a kept or enlarged volume was taken up, or an image told its version after it was removed.
#[test]
fn what_did_not_change_passes_whatever_the_status_came_to_say() {
    let server = server::shared();
    let spec = json!({"database": {"storage": {"size": "5Gi"}}});
    let database = json!({"storage": {"size": "10Gi"}, "version": "17"});
    made(server, "contradicted", &spec, &database);
    accepts_change(server, "contradicted", &json!({"suspend": true}));
    let smaller = json!({"database": {"storage": {"size": "4Gi"}}});
    refuses_change(server, "contradicted", &smaller, "cannot shrink");
    let other = json!({"database": {"version": "14"}});
    refuses_change(server, "contradicted", &other, "cannot change its major version");
    accepts_change(server, "contradicted", &json!({"database": {"version": "17"}}));
    let status = |database: Value| {
        let patch = json!({"status": {"database": database}}).to_string();
        let arguments = [
            "-n",
            "default",
            "patch",
            "renv",
            "contradicted",
            "--subresource=status",
        ];
        server.kubectl(&[&arguments[..], &["--type=merge", "-p", &patch]].concat(), "")
    };
    let written = status(json!({"readyInstances": 1}));
    assert!(written.ok, "{}", written.text);
}

#[test]
fn kubectl_scale_sets_the_replicas_of_the_api_unless_an_autoscaler_does() {
    let server = server::shared();
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
