//! `kubectl explain` is the documentation of the fields.

use crate::server;

#[test]
fn kubectl_explain_tells_units_defaults_and_an_example_of_every_field() {
    let server = server::shared();
    let recursive = server.kubectl(&["explain", "renv.spec", "--recursive"], "");
    assert!(recursive.ok, "{}", recursive.text);
    for (path, says) in [
        ("renv", "A freight-rates system of its own"),
        ("renv.spec.profile", "Default: Preview"),
        ("renv.spec.database", "Service NAME-postgres"),
        ("renv.spec.database.version", "Examples: \"13.5\", \"17\""),
        ("renv.spec.database.instances", "3 in Production, 1 in Staging"),
        (
            "renv.spec.database.durability",
            "Required with three instances, Preferred with two",
        ),
        (
            "renv.status.database.synchronousStandbys",
            "commits wait for them",
        ),
        ("renv.spec.database.storage.size", "at least 256Mi"),
        ("renv.spec.database.storage.retain", "Default: false"),
        (
            "renv.spec.database.seed",
            "exactly one of bundled, configMap, url",
        ),
        ("renv.spec.database.seed.configMap", "kubectl create configmap"),
        ("renv.spec.database.seed.environment", "in spec.sharing"),
        ("renv.spec.sharing", "Default: nobody"),
        ("renv.spec.sharing.sample", "percent of the pairs of ports"),
        ("renv.spec.sharing.mask.prices.noise", "Example: 20"),
        ("renv.status.database.copies", "have a copy of them"),
        ("renv.status.database.seed.copied", "What of another environment"),
        ("renv.spec.api.replicas", "1 to 100"),
        ("renv.spec.api.autoscaling", "HorizontalPodAutoscaler"),
        ("renv.spec.api.rollout.propagationSeconds", "Seconds that a pod"),
        ("renv.spec.api.autoscaling.metrics", "autoscaling/v2"),
        ("renv.spec.api.rollout.maxSurge", "Default: 1"),
        ("renv.spec.api.config", "RATES_REQUEST_TIMEOUT_SECONDS"),
        ("renv.spec.api.config.idempotencyHours", "Default: 24"),
        ("renv.spec.api.env.valueFrom", "replaces no pod"),
        ("renv.spec.expose", "exactly one of gateway and ingress"),
        ("renv.spec.monitoring", "restarts the database"),
        ("renv.spec.monitoring.podMonitor", "Default: true"),
        ("renv.spec.monitoring.labels", "release: prometheus"),
        ("renv.spec.database.sidecars.exporter.resources", "at most 128Mi"),
        ("renv.spec.scheduling.tolerations", "at most 16"),
        (
            "renv.spec.scheduling.affinity",
            "kubectl explain pod.spec.affinity",
        ),
        ("renv.spec.imagePullSecrets", "registry-login"),
        ("renv.spec.jobs.resources", "at most 512Mi"),
        ("renv.spec.database.sidecars.roles.resources", "at most 128Mi"),
        ("renv.spec.api.podMetadata.labels", "at most 16"),
        ("renv.spec.networkPolicies", "Default: true"),
        ("renv.spec.lifetime", "ttl: 72h, sleepAfter: 2h"),
        ("renv.spec.lifetime.ttl", "from 1m to 8760h"),
        ("renv.spec.lifetime.sleepAfter", "a request wakes it"),
        ("renv.status.phase", "The state in one word"),
        ("renv.status.sleep", "absent while it is awake"),
        ("renv.status.wakeRequest", "The activator writes it"),
    ] {
        let answer = server.kubectl(&["explain", path], "");
        let one_line = answer.text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            answer.ok && one_line.contains(says),
            "explain {path} should say {says:?}:\n{}",
            answer.text
        );
    }
}
