//! The way in from outside: an Ingress, or a route through a Gateway in a cluster that may not
//! know of any.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::networking::v1::Ingress;
use rates_operator::http_route::HTTPRoute;
use serde_json::{Value, json};

use crate::server::{self, Server};
use crate::stage::Stage;

fn exposed(expose: &Value) -> Value {
    json!({"database": {"seed": {"bundled": {}}}, "expose": expose})
}

#[tokio::test]
async fn an_ingress_comes_and_goes_with_the_specification() {
    let server = server::shared();
    let stage = Stage::new(server, "ingress").await;
    stage
        .until_ready(&exposed(&json!({"host": "harbour.example", "ingress": {}})))
        .await;
    assert_eq!(
        stage.field("renv/harbour", "{.status.url}"),
        "http://harbour.example"
    );
    assert_eq!(
        stage.condition("Exposed"),
        (
            "True".into(),
            "Applied".into(),
            "Ingress harbour-api for http://harbour.example".into()
        )
    );

    let tls = json!({"host": "harbour.example", "ingress": {"className": "sluice", "tlsSecretName": "harbour-tls"}});
    stage.specify(&exposed(&tls));
    assert_eq!(
        stage.reconcile().await,
        [
            "PATCH ingresses/harbour-api",
            "PATCH ratesenvironments/harbour/status"
        ]
    );
    assert_eq!(stage.reconcile().await, [""; 0]);
    assert_eq!(
        stage.field("renv/harbour", "{.status.url}"),
        "https://harbour.example"
    );
    assert_eq!(
        stage.printed("ingress/harbour-api", "{.spec.ingressClassName} {.spec.tls[0]}"),
        r#"sluice {"hosts":["harbour.example"],"secretName":"harbour-tls"}"#
    );

    stage.specify(&json!({"database": {"seed": {"bundled": {}}}}));
    assert_eq!(
        stage.reconcile().await,
        [
            "DELETE ingresses/harbour-api",
            "PATCH ratesenvironments/harbour/status"
        ]
    );
    assert!(!stage.exists::<Ingress>("harbour-api").await);
    assert_eq!(
        stage.field("renv/harbour", "{.status.url}"),
        "http://harbour-api.ingress.svc"
    );
    assert_eq!(stage.condition("Exposed").0, "", "there is nothing to tell of");
    assert_eq!(stage.condition("Ready").0, "True");
}

/// The Gateway API's definition of a route, as far as it is used here, with its defaults.
pub fn install_gateway_api(server: &Server, namespace: &str) {
    let text = json!({"type": "string"});
    let reference = |defaults: Value| {
        let mut properties =
            json!({"name": text, "namespace": text, "sectionName": text, "port": {"type": "integer"}});
        for (name, default) in defaults.as_object().unwrap() {
            let kind = if default.is_string() { "string" } else { "integer" };
            properties[name] = json!({"type": kind, "default": default});
        }
        json!({"type": "array", "items": {"type": "object", "properties": properties}})
    };
    let any =
        json!({"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let mut matches = any.clone();
    matches["default"] = json!([{"path": {"type": "PathPrefix", "value": "/"}}]);
    let rule = json!({"matches": matches, "backendRefs": reference(json!({"group": "", "kind": "Service", "weight": 1}))});
    let spec = json!({
        "parentRefs": reference(json!({"group": "gateway.networking.k8s.io", "kind": "Gateway"})),
        "hostnames": {"type": "array", "items": text},
        "rules": {"type": "array", "items": {"type": "object", "properties": rule}},
    });
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": spec},
        "status": {"type": "object", "properties": {"parents": any}},
    }});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "httproutes.gateway.networking.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a part of it for tests"},
        },
        "spec": {
            "group": "gateway.networking.k8s.io", "scope": "Namespaced",
            "names": {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}}, "schema": {"openAPIV3Schema": schema},
            }],
        },
    });
    let answer = server.apply(namespace, &definition.to_string());
    assert!(answer.ok, "{}", answer.text);
    let name = "customresourcedefinition/httproutes.gateway.networking.k8s.io";
    let answer = server.kubectl(
        &["wait", "--for=condition=Established", "--timeout=30s", name],
        "",
    );
    assert!(answer.ok, "{}", answer.text);
}

#[tokio::test]
async fn a_route_waits_for_the_gateway_api_and_everything_else_goes_on() {
    let server = server::shared();
    let stage = Stage::new(server, "gateway").await;
    let expose = json!({"host": "harbour.example", "gateway": {"name": "lock", "namespace": "gates", "sectionName": "web"}});
    stage
        .until_ready(&json!({"database": {"seed": {"bundled": {}}}}))
        .await;
    stage.specify(&exposed(&expose));
    stage.settle().await;
    let (holds, reason, message) = stage.condition("Exposed");
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "GatewayApiMissing"));
    assert!(
        message.starts_with(
            "the cluster has no HTTPRoute of gateway.networking.k8s.io/v1: install the Gateway API, or set"
        ),
        "{message}"
    );
    assert_eq!(stage.condition("Ready").1, "GatewayApiMissing");
    assert_eq!(stage.condition("ApiAvailable").0, "True");
    assert!(stage.exists::<Deployment>("harbour-api").await);
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Degraded");

    install_gateway_api(server, &stage.namespace);
    stage.knows::<HTTPRoute>().await;
    assert_eq!(
        stage.reconcile().await,
        [
            "PATCH httproutes/harbour-api",
            "PATCH ratesenvironments/harbour/status"
        ],
        "it recovers by itself"
    );
    assert_eq!(
        stage.reconcile().await,
        [""; 0],
        "defaults of the definition are left alone"
    );
    assert_eq!(stage.condition("Exposed").1, "Applied");
    assert_eq!(stage.condition("Ready").0, "True");
    assert_eq!(
        stage.field("renv/harbour", "{.status.url}"),
        "http://harbour.example"
    );
    assert_eq!(
        stage.printed(
            "httproute/harbour-api",
            "{.spec.hostnames[0]} {.spec.rules[0].backendRefs[0].name}"
        ),
        "harbour.example harbour-api"
    );

    let says = async |status: &str, reason: &str| {
        let condition = json!({
            "type": "Accepted", "status": status, "reason": reason, "message": "says the lock",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let parents = json!({"parents": [{"conditions": [condition]}]});
        stage.set_status::<HTTPRoute>("harbour-api", &parents).await;
        stage.reconcile().await;
        stage.condition("Exposed")
    };
    assert_eq!(
        says("False", "NotAllowedByListeners").await,
        (
            "False".into(),
            "RouteRefused".into(),
            "the gateway refuses HTTPRoute harbour-api: NotAllowedByListeners: says the lock".into()
        )
    );
    assert_eq!(says("True", "Accepted").await.1, "Accepted");

    stage.specify(&json!({"database": {"seed": {"bundled": {}}}}));
    assert_eq!(
        stage.reconcile().await,
        [
            "DELETE httproutes/harbour-api",
            "PATCH ratesenvironments/harbour/status"
        ]
    );
    assert!(!stage.exists::<HTTPRoute>("harbour-api").await);
    assert_eq!(stage.condition("Exposed").0, "");
}
