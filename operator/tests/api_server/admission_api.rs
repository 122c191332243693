//! The rules of `spec.api` and `spec.expose`, met and broken.

use serde_json::{Value, json};

use crate::admission::{accepts, refuses};
use crate::server;

fn autoscaling(value: &Value) -> Value {
    let mut autoscaling = json!({"maxReplicas": 4});
    autoscaling
        .as_object_mut()
        .unwrap()
        .extend(value.as_object().unwrap().clone());
    json!({"api": {"autoscaling": autoscaling}})
}

fn metric(value: &Value) -> Value {
    autoscaling(&json!({"metrics": [value]}))
}

#[test]
fn a_metric_has_the_member_that_its_type_names() {
    let server = server::shared();
    let target = json!({"type": "AverageValue", "averageValue": "200m"});
    let value = json!({"type": "Value", "value": "2k"});
    let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "main"});
    let named = json!({"name": "requests", "selector": {"matchLabels": {"route": "/rates"}}});
    for fits in [
        json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}),
        json!({"type": "Resource", "resource": {"name": "memory", "target": target}}),
        json!({"type": "ContainerResource", "containerResource": {"container": "api", "name": "cpu", "target": target}}),
        json!({"type": "Pods", "pods": {"metric": named, "target": target}}),
        json!({"type": "Object", "object": {"describedObject": object, "metric": named, "target": value}}),
        json!({"type": "External", "external": {"metric": {"name": "queue"}, "target": value}}),
    ] {
        accepts(server, &metric(&fits));
    }
    let says = "a metric has the one member that its type names";
    refuses(server, &metric(&json!({"type": "Pods"})), says);
    refuses(
        server,
        &metric(&json!({"type": "Pods", "resource": {"name": "cpu", "target": target}})),
        says,
    );
    refuses(
        server,
        &metric(
            &json!({"type": "Pods", "pods": {"metric": named, "target": target}, "external": {"metric": named, "target": target}}),
        ),
        says,
    );
    refuses(
        server,
        &metric(&json!({"type": "Disk"})),
        r#"supported values: "Resource""#,
    );
    refuses(
        server,
        &metric(&json!({"type": "Resource", "resource": {"name": "disk", "target": target}})),
        r#"supported values: "cpu", "memory""#,
    );
    refuses(
        server,
        &metric(&json!({"type": "Pods", "pods": {"metric": named, "target": value}})),
        "target.type does not fit its type",
    );
    let many = vec![json!({"type": "Pods", "pods": {"metric": named, "target": target}}); 9];
    refuses(
        server,
        &autoscaling(&json!({"metrics": many})),
        "must have at most 8 items",
    );
}

#[test]
fn a_target_has_the_amount_that_its_type_names() {
    let server = server::shared();
    let of = |target: &Value| {
        metric(&json!({"type": "External", "external": {"metric": {"name": "queue"}, "target": target}}))
    };
    accepts(
        server,
        &of(&json!({"type": "AverageValue", "averageValue": "1.5"})),
    );
    let says = "a target has the one amount that its type names";
    refuses(server, &of(&json!({"type": "Value"})), says);
    refuses(server, &of(&json!({"type": "Value", "averageValue": "1"})), says);
    refuses(
        server,
        &of(&json!({"type": "Value", "value": "1", "averageValue": "1"})),
        says,
    );
    for odd in ["0", "-1", "much"] {
        refuses(
            server,
            &of(&json!({"type": "Value", "value": odd})),
            "target.value must be a quantity above 0, such as 2k or 100",
        );
        refuses(
            server,
            &of(&json!({"type": "AverageValue", "averageValue": odd})),
            "target.averageValue must be a quantity above 0, such as 200m or 20",
        );
    }
}

#[test]
fn the_cpu_is_a_metric_once() {
    let server = server::shared();
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}});
    let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 60}}});
    let both =
        |metric: &Value| autoscaling(&json!({"targetCPUUtilizationPercentage": 70, "metrics": [metric]}));
    accepts(server, &both(&memory));
    refuses(
        server,
        &both(&cpu),
        "targetCPUUtilizationPercentage is a metric of the cpu already: remove it, or",
    );
}

#[test]
fn the_behaviour_of_an_autoscaler_has_bounds() {
    let server = server::shared();
    let up = |rules: &Value| autoscaling(&json!({"behavior": {"scaleUp": rules}}));
    accepts(
        server,
        &up(
            &json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Min", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}),
        ),
    );
    refuses(
        server,
        &up(&json!({"stabilizationWindowSeconds": 3601})),
        "less than or equal to 3600",
    );
    refuses(
        server,
        &up(&json!({"selectPolicy": "Off"})),
        r#"supported values: "Max", "Min", "Disabled""#,
    );
    refuses(
        server,
        &up(&json!({"policies": [{"type": "Pods", "value": 0, "periodSeconds": 15}]})),
        "greater than or equal to 1",
    );
    refuses(server, &up(&json!({"policies": []})), "at least 1 items");
}

#[test]
fn a_surge_is_a_number_or_a_percentage() {
    let server = server::shared();
    let surge = |value: Value| json!({"api": {"rollout": {"maxSurge": value}}});
    for fits in [json!(1), json!(100), json!("1%"), json!("25%"), json!("100%")] {
        accepts(server, &surge(fits));
    }
    for odd in [
        json!(0),
        json!(-1),
        json!(101),
        json!("0%"),
        json!("101%"),
        json!("2"),
        json!("some"),
    ] {
        refuses(
            server,
            &surge(odd),
            r#"api.rollout.maxSurge must be a number of pods from 1 to 100, or a percentage from "1%" to "100%""#,
        );
    }
}

#[test]
fn settings_of_the_api_have_bounds() {
    let server = server::shared();
    let config = |value: Value| json!({"api": {"config": value}});
    accepts(
        server,
        &config(json!({
            "requestTimeoutSeconds": 1, "queryTimeoutSeconds": 1, "connectTimeoutSeconds": 1, "readConnections": 64,
            "answerCacheBytes": 0, "maxBatches": 64, "maxBatchBytes": 1_099_511_627_776_i64,
            "maxBatchRows": 10_000_000_000_i64, "bodyTimeoutSeconds": 3600, "leaseSeconds": 1,
            "idempotencyHours": 8760, "maxConnections": 1_000_000, "idleTimeoutSeconds": 1,
        })),
    );
    refuses(
        server,
        &config(json!({"readConnections": 65})),
        "spec.api.config.readConnections: Invalid value: 65: spec.api.config.readConnections in body should be less than or equal to 64",
    );
    refuses(
        server,
        &config(json!({"requestTimeoutSeconds": 0})),
        "greater than or equal to 1",
    );
    refuses(
        server,
        &config(json!({"drainSeconds": 3})),
        r#"unknown field "spec.api.config.drainSeconds""#,
    );
    for fits in ["debug", "info,rates_api::access=warn", "off"] {
        accepts(server, &config(json!({"log": fits})));
    }
    for odd in ["loud", "info, warn", "rates_api=", "[span]=info"] {
        refuses(
            server,
            &config(json!({"log": odd})),
            "api.config.log must be a level (error, warn, info, debug, trace or off), or levels by module",
        );
    }
}

#[test]
fn variables_of_the_api_are_named_and_have_one_source() {
    let server = server::shared();
    let env = |value: Value| json!({"api": {"env": value}});
    let entry = json!({"name": "some", "key": "entry"});
    accepts(
        server,
        &env(json!([
            {"name": "TZ", "value": ""},
            {"name": "_a1", "valueFrom": {"secretKeyRef": entry}},
            {"name": "RATESX", "valueFrom": {"configMapKeyRef": entry}},
        ])),
    );
    refuses(
        server,
        &env(json!([{"name": "RATES_LOG", "value": "debug"}])),
        "api.env cannot set variables that begin with RATES_: set the API's settings in api.config",
    );
    let one = "a variable of api.env has exactly one of value and valueFrom";
    refuses(server, &env(json!([{"name": "TZ"}])), one);
    refuses(
        server,
        &env(json!([{"name": "TZ", "value": "a", "valueFrom": {"secretKeyRef": entry}}])),
        one,
    );
    let source = "valueFrom has exactly one of secretKeyRef and configMapKeyRef";
    refuses(server, &env(json!([{"name": "TZ", "valueFrom": {}}])), source);
    refuses(
        server,
        &env(json!([{"name": "TZ", "valueFrom": {"secretKeyRef": entry, "configMapKeyRef": entry}}])),
        source,
    );
    refuses(
        server,
        &env(json!([{"name": "1ST", "value": ""}])),
        "should match",
    );
    refuses(
        server,
        &env(json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}])),
        "Duplicate value",
    );
    let many: Vec<Value> = (0..65)
        .map(|n| json!({"name": format!("V{n}"), "value": ""}))
        .collect();
    refuses(server, &env(Value::Array(many)), "must have at most 64 items");
}

#[test]
fn an_api_is_exposed_at_a_host_in_one_way() {
    let server = server::shared();
    let expose = |value: Value| json!({"expose": value});
    accepts(
        server,
        &expose(json!({"host": "pr-42.rates.example", "ingress": {}})),
    );
    accepts(
        server,
        &expose(json!({"host": "a.b", "ingress": {"className": "nginx", "tlsSecretName": "a.b-tls"}})),
    );
    accepts(
        server,
        &expose(
            json!({"host": "a.b", "gateway": {"name": "public", "namespace": "gates", "sectionName": "https"}}),
        ),
    );
    let one = "expose has exactly one of gateway and ingress: set gateway where";
    refuses(server, &expose(json!({"host": "a.b"})), one);
    refuses(
        server,
        &expose(json!({"host": "a.b", "ingress": {}, "gateway": {"name": "public"}})),
        one,
    );
    for odd in [
        "",
        "localhost",
        "*.a.b",
        "A.b",
        "a..b",
        "-a.b",
        "a.b:80",
        "http://a.b",
    ] {
        refuses(
            server,
            &expose(json!({"host": odd, "ingress": {}})),
            "spec.expose.host",
        );
    }
    refuses(
        server,
        &expose(json!({"ingress": {}})),
        "spec.expose.host: Required value",
    );
    refuses(
        server,
        &expose(json!({"host": "a.b", "gateway": {}})),
        "spec.expose.gateway.name: Required value",
    );
}
