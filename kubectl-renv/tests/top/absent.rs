//! What the command says where there is nothing to show, and what to do.

use crate::stage::{Output, Prometheus, command, free_port, kubeconfig, run, serve, shared, top, until};

#[test]
fn without_an_address_it_says_how_to_forward_a_port() {
    let output = top(&["shop"]);
    refused(
        &output,
        &[
            "--prometheus URL",
            "kubectl port-forward -n monitoring",
            "RATES_PROMETHEUS",
        ],
    );
}

#[test]
fn an_address_where_nobody_listens_is_said() {
    let address = format!("http://127.0.0.1:{}", free_port());
    let output = top(&["shop", "--prometheus", &address]);
    refused(&output, &[&address, "cannot reach Prometheus", "refused"]);
}

#[test]
fn an_address_of_another_program_is_said() {
    let other = serve(|_| ("200 OK", "text/html", "<p>hello".to_owned()));
    let output = top(&["shop", "--prometheus", &format!("http://{other}")]);
    refused(&output, &["answers as no Prometheus does", "200 OK"]);
    let closed = serve(|_| ("401 Unauthorized", "text/plain", "who are you".to_owned()));
    let output = top(&["shop", "--prometheus", &format!("http://{closed}")]);
    refused(&output, &["401", "sends no credentials"]);
}

#[test]
fn a_prometheus_without_the_rules_is_said() {
    let prometheus = Prometheus::start("groups: []\n");
    let output = top(&["shop", "--prometheus", &prometheus.address]);
    refused(
        &output,
        &["has no rules rates:saturation", "manifests/monitoring"],
    );
}

#[test]
fn rules_without_any_environment_are_said() {
    let rules =
        "groups: [{name: l, interval: 1s, rules: [{record: 'rates:saturation:log', expr: nothing}]}]\n";
    let prometheus = Prometheus::start(rules);
    let mut output = top(&["-A", "--prometheus", &prometheus.address]);
    until("the rules are loaded", || {
        output = top(&["-A", "--prometheus", &prometheus.address]);
        !output.stderr.contains("has no rules")
    });
    refused(
        &output,
        &["no ladder of any environment", "spec.monitoring", "/targets"],
    );
}

/// Without a Kubernetes API: only Prometheus' port is forwarded.
#[test]
fn an_environment_without_a_ladder_is_told_from_those_that_have_one() {
    let output = top(&["shoop", "-n", "team-a", "--prometheus", &shared().address]);
    refused(
        &output,
        &[
            "no ladder of environment team-a/shoop",
            "team-a/quiet, team-a/shop",
        ],
    );
}

#[test]
fn the_kubernetes_api_says_why_an_environment_has_no_ladder() {
    let server = serve(|request| {
        if request.contains("/namespaces/team-a/ratesenvironments/plain ") {
            ("200 OK", "application/json", object("{}"))
        } else if request.contains("/namespaces/team-a/ratesenvironments/young ") {
            (
                "200 OK",
                "application/json",
                object(r#"{"monitoring": {"podMonitor": true}}"#),
            )
        } else {
            let status =
                r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}"#;
            ("404 Not Found", "application/json", status.to_owned())
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let config = kubeconfig(&folder, &format!("http://{server}"), "team-a");
    let ask = |name: &str| run(command(Some(&config)).args(["top", name, "--prometheus", &shared().address]));
    refused(
        &ask("gone"),
        &[
            "there is no RatesEnvironment gone in namespace team-a",
            "team-a/shop",
        ],
    );
    refused(
        &ask("plain"),
        &["has no spec.monitoring", "kubectl patch renv/plain -n team-a"],
    );
    refused(&ask("young"), &["has spec.monitoring, but", "/targets"]);
}

fn object(spec: &str) -> String {
    format!(
        r#"{{"apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment", "metadata": {{"name": "x"}}, "spec": {spec}}}"#
    )
}

/// It failed, and said all of this and nothing on standard output.
fn refused(output: &Output, said: &[&str]) {
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    assert_eq!(output.stdout, "");
    for text in said {
        assert!(
            output.stderr.contains(text),
            "{text:?} is not in {}",
            output.stderr
        );
    }
}
