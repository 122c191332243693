//! Each rule of the definition, met and broken, as a person would: with kubectl.

use serde_json::{Value, json};

use crate::server::{self, Server};

pub fn environment(name: &str, spec: &Value) -> String {
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
    let server = server::shared();
    accepts(server, &json!({}));
    accepts(
        server,
        &json!({
            "profile": "Staging",
            "database": {
                "version": "17",
                "instances": 2,
                "durability": "Required",
                "storage": {"size": "2500Mi", "storageClassName": "fast.local", "retain": true},
                "seed": {"configMap": {"name": "rates-dump", "key": "rates.sql.gz"}},
            },
            "api": {
                "image": "registry.example:5000/rates-api@sha256:00ff",
                "autoscaling": {"minReplicas": 2, "maxReplicas": 6, "targetCPUUtilizationPercentage": 70},
                "rollout": {"propagationSeconds": 0},
            },
            "suspend": true,
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
    let server = server::shared();
    refuses(
        server,
        &json!({"profile": "Tiny"}),
        r#"supported values: "Production", "Staging", "Preview""#,
    );
}

#[test]
fn unknown_fields_are_refused_under_strict_validation() {
    let server = server::shared();
    refuses(
        server,
        &json!({"suspended": true}),
        r#"unknown field "spec.suspended""#,
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
    let server = server::shared();
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
    let server = server::shared();
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
    let server = server::shared();
    let seed = |value: Value| json!({"database": {"seed": value}});
    let says = "a seed has exactly one source: set one of bundled, configMap, url, persistentVolumeClaim and environment";
    let url = json!({"url": "https://dumps.example/rates.sql.gz", "sha256": "0f".repeat(32)});
    refuses(server, &seed(json!({"bundled": {}, "url": url.clone()})), says);
    refuses(
        server,
        &seed(json!({"url": url.clone(), "persistentVolumeClaim": {"claimName": "a", "path": "b"}})),
        says,
    );
    accepts(server, &seed(json!({"url": url})));
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
fn a_dump_is_fetched_by_https_from_public_hosts_with_a_checksum() {
    let server = server::shared();
    let digest = "0f".repeat(32);
    let seed =
        |url: &str, sha256: &str| json!({"database": {"seed": {"url": {"url": url, "sha256": sha256}}}});
    for good in [
        "https://dumps.example",
        "https://dumps.example:8443/a/b.sql.gz?signature=a%20b&c=d#e",
        "https://internal.dumps.example/a",
        "https://93.184.216.34/a",
        "https://[2606:4700::1111]/a",
    ] {
        accepts(server, &seed(good, &digest));
    }
    for bad in [
        "http://dumps.example/a",
        "https:///a",
        "https://user:password@dumps.example/a",
        "https://dumps.example/a b",
        "file:///etc/passwd",
    ] {
        refuses(
            server,
            &seed(bad, &digest),
            "must be an https URL with a host and a path",
        );
    }
    for bad in [
        "https://localhost/a",
        "https://kubernetes/a",
        "https://x-api.default.svc/a",
        "https://x-api.default.svc.cluster.local:443/a",
        "https://metadata.google.internal/a",
        "https://127.0.0.1/a",
        "https://169.254.169.254/latest",
        "https://10.96.0.1:443",
        "https://192.168.0.1/a",
    ] {
        refuses(server, &seed(bad, &digest), "must name a public host");
    }
    for bad in ["", "0f", &"0F".repeat(32), &"0g".repeat(32)] {
        refuses(
            server,
            &seed("https://dumps.example/a", bad),
            "must be 64 hex digits in lower case",
        );
    }
}

#[test]
fn a_dump_in_a_volume_has_a_path_inside_it() {
    let server = server::shared();
    let seed = |claim: &str, path: &str| json!({"database": {"seed": {"persistentVolumeClaim": {"claimName": claim, "path": path}}}});
    for good in ["rates.sql", "2026/a b/rates..sql.gz", "..a/b"] {
        accepts(server, &seed("dumps", good));
    }
    for bad in [
        "/rates.sql",
        "../rates.sql",
        "a/../b",
        "a/..",
        "./a",
        "a//b",
        "a/",
        "a\nb",
    ] {
        refuses(
            server,
            &seed("dumps", bad),
            "must be the path of a file in the volume",
        );
    }
    refuses(server, &seed("Dumps", "a"), "should match");
    refuses(
        server,
        &json!({"database": {"seed": {"persistentVolumeClaim": {"claimName": "a"}}}}),
        "spec.database.seed.persistentVolumeClaim.path: Required value",
    );
}

#[test]
fn parameters_that_open_doors_or_lose_data_are_refused() {
    let server = server::shared();
    let parameters = |value: Value| json!({"database": {"parameters": value}});
    accepts(server, &parameters(json!({})));
    accepts(
        server,
        &parameters(json!({"work_mem": "8MB", "max_connections": 50, "auto_explain.log_min_duration": "1s"})),
    );
    for (says, names) in [
        (
            "must not set what runs commands or loads code",
            [
                "archive_command",
                "archive_cleanup_command",
                "restore_command",
                "shared_preload_libraries",
                "local_preload_libraries",
                "dynamic_library_path",
                "jit_provider",
                "ssl_passphrase_command",
                "plperl.on_init",
            ],
        ),
        (
            "must not set where the server listens",
            [
                "listen_addresses",
                "port",
                "unix_socket_directories",
                "ssl",
                "ssl_key_file",
                "password_encryption",
                "hba_file",
                "data_directory",
                "logging_collector",
            ],
        ),
        (
            "must not set what Patroni decides",
            [
                "wal_level",
                "hot_standby",
                "cluster_name",
                "primary_conninfo",
                "recovery_target_time",
                "synchronous_standby_names",
                "fsync",
                "full_page_writes",
                "synchronous_commit",
            ],
        ),
    ] {
        for name in names {
            refuses(server, &parameters(json!({"work_mem": "8MB", name: "on"})), says);
        }
    }
    refuses(
        server,
        &parameters(json!({"work_mem": "8MB\nfsync = off"})),
        "should match",
    );
    refuses(
        server,
        &parameters(json!({"work_mem": "8".repeat(201)})),
        "may not be more than 200",
    );
    refuses(server, &parameters(json!({"work_mem": true})), "must be of type");
    let many: serde_json::Map<String, Value> = (0..65).map(|n| (format!("a.b{n}"), json!(1))).collect();
    refuses(server, &parameters(many.into()), "must have at most 64 items");
}

#[test]
fn numbers_and_texts_have_bounds() {
    let server = server::shared();
    let propagation = |seconds: i32| json!({"api": {"rollout": {"propagationSeconds": seconds}}});
    accepts(server, &propagation(600));
    refuses(server, &propagation(601), "less than or equal to 600");
    refuses(server, &propagation(-1), "greater than or equal to 0");
    let batch = |seconds: i32| json!({"api": {"rollout": {"maxBatchSeconds": seconds}}});
    accepts(server, &batch(1));
    accepts(server, &batch(86_400));
    for none in [0, -1] {
        refuses(
            server,
            &batch(none),
            "spec.api.rollout.maxBatchSeconds in body should be greater than or equal to 1",
        );
    }
    refuses(server, &batch(86_401), "less than or equal to 86400");
    let failing = |what: &str| json!({"api": {"rollout": {"onFailure": what}}});
    accepts(server, &failing("RollBack"));
    refuses(
        server,
        &failing("Retry"),
        r#"supported values: "Hold", "RollBack""#,
    );
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
    for number in [0, 4] {
        refuses(
            server,
            &json!({"database": {"instances": number}}),
            "database.instances must be 1, 2 or 3",
        );
    }
    refuses(
        server,
        &json!({"database": {"durability": "Strict"}}),
        "database.durability must be Required or Preferred",
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
    let server = server::shared();
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
    let server = server::shared();
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

#[test]
fn pod_monitors_have_labels_of_their_own_and_none_where_there_are_none() {
    let server = server::shared();
    let monitoring = |value: Value| json!({"monitoring": value});
    for good in [
        json!({}),
        json!({"podMonitor": true, "labels": {"release": "prometheus"}}),
        json!({"podMonitor": false}),
        json!({"podMonitor": false, "labels": {}}),
    ] {
        accepts(server, &monitoring(good));
    }
    refuses(
        server,
        &monitoring(json!({"podMonitor": false, "labels": {"release": "prometheus"}})),
        "monitoring.podMonitor: false makes none: leave one of the two out",
    );
    for own in ["app.kubernetes.io/instance", "rates.internal/cluster"] {
        refuses(
            server,
            &monitoring(json!({"labels": {own: "other"}})),
            "labels must not set what the operator and Kubernetes select by",
        );
    }
    refuses(
        server,
        &monitoring(json!({"labels": {"release": "of prometheus"}})),
        "should match",
    );
    let many: serde_json::Map<String, Value> = (0..17).map(|n| (format!("l{n}"), "x".into())).collect();
    refuses(
        server,
        &monitoring(json!({"labels": many})),
        "must have at most 16 items",
    );
}
