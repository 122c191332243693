//! Every way of installing, as a real API server takes it: kustomizations and charts, rendered, linted, and
//! applied in a server-side dry run with strict validation.

use std::fs;
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::server::{self, Answer, MANIFESTS, Server};

const CHARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The documents of a rendered text.
pub fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|document| !document.is_null())
        .collect()
}

/// Runs Helm, which keeps to a folder of its own.
fn helm(arguments: &[&str]) -> Answer {
    let helm = server::needed("RATES_TEST_HELM");
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(helm)
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .output()
        .unwrap();
    Answer {
        ok: output.status.success(),
        text: String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
    }
}

/// The chart of the operator with some values, as `--set` takes them.
fn chart(namespace: &str, values: &[&str]) -> Answer {
    let folder = format!("{CHARTS}/rates-operator");
    let mut arguments = vec!["template", "rates-operator", &folder, "--namespace", namespace];
    for value in values {
        arguments.extend(["--set", value]);
    }
    helm(&arguments)
}

/// What the server says to all of it, without keeping it.
fn dry_run(server: &Server, text: &str) {
    let arguments = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
    ];
    let answer = server.kubectl(&arguments, text);
    assert!(answer.ok, "{}", answer.text);
    // Such as what the namespace's Pod Security Standard has against a pod.
    assert!(!answer.text.contains("Warning"), "{}", answer.text);
}

/// A namespace that says what of a pod is not restricted.
fn restricted(server: &Server, name: &str) {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/warn": "restricted"}},
    });
    assert!(server.apply("default", &namespace.to_string()).ok);
}

#[test]
fn kustomizations_and_samples_are_taken_as_they_are() {
    let server = server::shared();
    restricted(server, "default");
    for folder in ["crds", "manifests", "manifests/namespaced"] {
        let rendered = server.kubectl(&["kustomize", &format!("{ROOT}/{folder}")], "");
        assert!(rendered.ok, "{}", rendered.text);
        dry_run(server, &rendered.text);
    }
    for sample in fs::read_dir(format!("{MANIFESTS}/samples")).unwrap() {
        dry_run(server, &fs::read_to_string(sample.unwrap().path()).unwrap());
    }
}

#[test]
fn charts_are_linted_and_taken_with_every_kind_of_values() {
    let server = server::shared();
    for name in ["rates-operator", "rates-operator-crds"] {
        let linted = helm(&["lint", "--strict", &format!("{CHARTS}/{name}")]);
        assert!(linted.ok, "{}", linted.text);
    }
    let definition = helm(&["template", "x", &format!("{CHARTS}/rates-operator-crds")]);
    assert!(definition.ok && definition.text.contains("helm.sh/resource-policy: keep"));
    dry_run(server, &definition.text);

    restricted(server, "charted");
    restricted(server, "charted-elsewhere");
    let every: &[&str] = &[
        "image.repository=registry.example/rates-operator",
        "image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "imagePullSecrets[0].name=registry",
        "excludeNamespaces={team-a,team-b}",
        "environmentImages.exporter=",
        "monitoringNamespaces={lookout,lighthouse}",
        "replicas=2",
        "concurrency=16",
        "maxRunningPreviews=3",
        "log=info\\,kube=debug",
        "nodeSelector.kubernetes\\.io/os=linux",
        "tolerations[0].operator=Exists",
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchFields[0].key=metadata.name",
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchFields[0].operator=In",
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchFields[0].values={any}",
        "priorityClassName=system-cluster-critical",
        "podLabels.team=rates",
        "podAnnotations.note=any",
        "serviceAccount.annotations.note=any",
        "podDisruptionBudget.enabled=true",
        "metrics.service.enabled=true",
    ];
    for values in [
        &[][..],
        &["watchNamespace=charted-elsewhere"],
        &["activator.enabled=false"],
        every,
    ] {
        let rendered = chart("charted", values);
        assert!(rendered.ok, "{}", rendered.text);
        dry_run(server, &rendered.text);
    }
    // The server does not know its kind.
    let monitored = documents(&chart("charted", &["metrics.serviceMonitor.enabled=true"]).text);
    let monitor = monitored
        .iter()
        .find(|object| object["kind"] == "ServiceMonitor")
        .unwrap();
    let service = monitored
        .iter()
        .find(|object| object["kind"] == "Service")
        .unwrap();
    assert_eq!(
        monitor["spec"]["endpoints"][0]["port"],
        service["spec"]["ports"][0]["name"]
    );
}

/// The kinds of the Prometheus operator are not there: what a server would take is compared with what it does not know.
#[test]
fn chart_and_kustomization_install_the_same_rules_and_dashboards() {
    let server = server::shared();
    let rendered = server.kubectl(&["kustomize", &format!("{ROOT}/manifests/monitoring")], "");
    assert!(rendered.ok, "{}", rendered.text);
    let kustomized = documents(&rendered.text);
    let labelled = &["monitoring.enabled=true", "monitoring.labels.release=prometheus"];
    let answer = chart("rates-system", labelled);
    assert!(answer.ok, "{}", answer.text);
    let charted = documents(&answer.text);
    let one = |objects: &[Value], kind: &str, part: &str| -> Value {
        let named = |object: &&Value| {
            object["kind"] == kind && object["metadata"]["name"].as_str().unwrap().contains(part)
        };
        objects.iter().find(named).unwrap().clone()
    };
    for kind in ["PrometheusRule", "PodMonitor"] {
        let [ours, theirs] = [&charted, &kustomized].map(|objects| one(objects, kind, "rates"));
        let monitored = |object: &Value| {
            let mut spec = object["spec"].clone();
            spec["selector"].take();
            spec
        };
        assert_eq!(monitored(&ours), monitored(&theirs), "{kind}");
        assert_eq!(ours["metadata"]["labels"]["release"], "prometheus", "{kind}");
    }
    let [ours, theirs] = [&charted, &kustomized].map(|objects| one(objects, "ConfigMap", "dashboards"));
    assert_eq!(ours["data"], theirs["data"]);
    for dashboards in [&ours, &theirs] {
        assert_eq!(dashboards["metadata"]["labels"]["grafana_dashboard"], "1");
        dry_run(server, &dashboards.to_string());
    }
    let port = |objects: &[Value]| {
        let deployment = one(objects, "Deployment", "rates-operator");
        let ports = &deployment["spec"]["template"]["spec"]["containers"][0]["ports"];
        ports[0]["name"].clone()
    };
    let monitor = one(&charted, "PodMonitor", "rates");
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["port"], port(&charted));

    let elsewhere = chart(
        "any",
        &[
            "monitoring.enabled=true",
            "monitoring.runbooks=https://wiki.example/rates/",
        ],
    );
    assert!(
        elsewhere
            .text
            .contains("runbook_url: https://wiki.example/rates/RatesNoPrimary.md")
    );
    assert!(!elsewhere.text.contains("docs/runbooks/Rates"));
    let twice = chart(
        "any",
        &["monitoring.enabled=true", "metrics.serviceMonitor.enabled=true"],
    );
    assert!(
        !twice.ok && twice.text.contains("scraped twice"),
        "{}",
        twice.text
    );
}

#[test]
fn a_wrong_value_is_refused_with_its_name_and_what_would_be_accepted() {
    for (value, says) in [
        ("replica=2", "additional properties 'replica' not allowed"),
        ("replicas=many", "at '/replicas': got string, want integer"),
        ("concurrency=0", "at '/concurrency': minimum: got 0, want 1"),
        ("image.pullPolicy=Sometimes", "'Always', 'IfNotPresent', 'Never'"),
        ("image.tag=a:b", "at '/image/tag': 'a:b' does not match pattern"),
        (
            "environmentImages.postgres.latest=x",
            "invalid propertyName 'latest'",
        ),
        (
            "monitoringNamespaces={Look_out}",
            "at '/monitoringNamespaces/0': 'Look_out' does not match pattern",
        ),
        (
            "watchNamespace=Team_A",
            "at '/watchNamespace': 'Team_A' does not match pattern",
        ),
        (
            "activator.ports=all",
            "at '/activator/ports': 'all' does not match pattern",
        ),
        (
            "resources.limit.memory=1Gi",
            "additional properties 'limit' not allowed",
        ),
        ("resources.limits.memory=much", "at '/resources/limits/memory'"),
        (
            "metrics.serviceMonitor.interval=often",
            "at '/metrics/serviceMonitor/interval'",
        ),
    ] {
        let answer = chart("any", &[value]);
        assert!(
            !answer.ok && answer.text.contains(says),
            "{value}: {}",
            answer.text
        );
    }
    let both = chart("any", &["watchNamespace=a", "excludeNamespaces={b}"]);
    assert!(!both.ok && both.text.contains("set one of them"), "{}", both.text);
    let refused = helm(&[
        "template",
        "x",
        &format!("{CHARTS}/rates-operator-crds"),
        "--set",
        "keep=false",
    ]);
    assert!(
        !refused.ok && refused.text.contains("'keep' not allowed"),
        "{}",
        refused.text
    );
}

/// The only object of a kind, and where there are several the one of this name.
fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let named = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    objects.iter().find(named).unwrap()
}

/// A chart and a kustomization that say the same twice would not go on doing so.
#[test]
fn the_chart_installs_what_the_kustomization_installs() {
    let server = server::shared();
    for (folder, values) in [
        ("manifests", &[][..]),
        ("manifests/namespaced", &["watchNamespace=default"]),
    ] {
        let namespace = if values.is_empty() {
            "rates-system"
        } else {
            "default"
        };
        let rendered = chart(namespace, values);
        let chart = documents(&rendered.text);
        let kustomized = documents(
            &server
                .kubectl(&["kustomize", &format!("{ROOT}/{folder}")], "")
                .text,
        );
        let role = if values.is_empty() { "ClusterRole" } else { "Role" };
        for (kind, name) in [
            (role, "rates-operator"),
            ("Role", "rates-operator-lease"),
            (role, "rates-activator"),
        ] {
            let [ours, theirs] = [&chart, &kustomized].map(|all| find(all, kind, name));
            assert_eq!(ours["rules"], theirs["rules"], "{kind} {name}");
            assert_eq!(ours["metadata"]["namespace"], theirs["metadata"]["namespace"]);
            let binding = format!("{kind}Binding");
            let [ours, theirs] = [&chart, &kustomized].map(|all| find(all, &binding, name));
            assert_eq!(
                (&ours["roleRef"], &ours["subjects"]),
                (&theirs["roleRef"], &theirs["subjects"])
            );
        }
        // What a person sets differs; how the pods are kept does not.
        for name in ["rates-operator", "rates-activator"] {
            let [ours, theirs] = [&chart, &kustomized].map(|all| {
                let mut spec = find(all, "Deployment", name)["spec"].clone();
                spec["selector"].take();
                spec["template"]["metadata"]["labels"].take();
                spec["template"]["spec"]["affinity"].take();
                let container = &mut spec["template"]["spec"]["containers"][0];
                for of_the_installation in ["image", "env", "envFrom"] {
                    container.as_object_mut().unwrap().remove(of_the_installation);
                }
                spec
            });
            assert_eq!(ours, theirs, "{folder} {name}");
        }
        for kind in ["NetworkPolicy", "PodDisruptionBudget"] {
            let [ours, theirs] = [&chart, &kustomized].map(|all| {
                let mut spec = find(all, kind, "rates-activator")["spec"].clone();
                for selector in ["selector", "podSelector"] {
                    spec[selector].take();
                }
                spec
            });
            assert_eq!(ours, theirs, "{folder} {kind}");
        }
    }
}

#[test]
fn every_value_of_the_chart_is_documented() {
    let values: Value =
        serde_yaml::from_str(&fs::read_to_string(format!("{CHARTS}/rates-operator/values.yaml")).unwrap())
            .unwrap();
    let schema: Value = serde_json::from_str(
        &fs::read_to_string(format!("{CHARTS}/rates-operator/values.schema.json")).unwrap(),
    )
    .unwrap();
    let readme = fs::read_to_string(format!("{CHARTS}/rates-operator/README.md")).unwrap();
    let known = schema["properties"].as_object().unwrap();
    for name in values.as_object().unwrap().keys() {
        assert!(known.contains_key(name), "{name} is not in the schema");
        assert!(
            readme.contains(&format!("`{name}")),
            "{name} is not in the README"
        );
    }
    for name in known.keys().filter(|name| *name != "global") {
        assert!(!values[name].is_null(), "{name} has no default in values.yaml");
    }
}
