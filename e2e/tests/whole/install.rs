//! Both charts on the cluster: an operator of one namespace, beside the one of the whole cluster.

use anyhow::{Context as _, Result, ensure};
use client::environment::{Environment, condition, label};
use client::helm::{chart, helm};
use client::kubectl::Kubectl;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::trial::trial;

const SYSTEM: &str = "rates-system";
const OPERATOR: &str = "deployment/rates-operator";
const DEFINITION: &str = "ratesenvironments.rates.internal";
const RELEASE: &str = "own";
/// The chart's objects in that release.
const OWN: &str = "own-rates-operator";

/// The operator of the cluster is replaced for it, so it runs while nothing else does.
pub fn alone() -> Trial {
    trial(
        "install::by_helm_for_one_namespace_beside_the_operator_of_the_cluster",
        by_helm_for_one_namespace,
    )
}

/// The operator of the cluster with a namespace left out, until this is dropped.
struct LeftOut<'a>(&'a Kubectl);

impl<'a> LeftOut<'a> {
    fn namespace(system: &'a Kubectl, namespace: &str) -> Result<Self> {
        let left_out = Self(system);
        replace(system, &format!("RATES_EXCLUDE_NAMESPACES={namespace}"))?;
        Ok(left_out)
    }
}

impl Drop for LeftOut<'_> {
    fn drop(&mut self) {
        if let Err(error) = replace(self.0, "RATES_EXCLUDE_NAMESPACES-") {
            eprintln!("the operator of the cluster is not as it was: {error:#}");
        }
    }
}

/// Sets a variable of the cluster's operator, and waits until the new one has taken over.
fn replace(system: &Kubectl, variable: &str) -> Result<()> {
    system.run(["set", "env", OPERATOR, variable])?;
    system.run(["rollout", "status", OPERATOR, "--timeout=180s"])?;
    Ok(())
}

/// The images that the cluster's operator was installed with, as values of the chart.
fn images(system: &Kubectl) -> Result<Value> {
    let deployment = system
        .get("deployment", "rates-operator")?
        .context("no operator")?;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let (repository, tag) = container["image"]
        .as_str()
        .and_then(|image| image.rsplit_once(':'))
        .context("the operator's image has no tag")?;
    let name = container["envFrom"][0]["configMapRef"]["name"].as_str();
    let of_environments = system
        .get("configmap", name.context("no ConfigMap with images")?)?
        .context("the ConfigMap with images is gone")?;
    let set = |name: &str| of_environments["data"][name].as_str().map(str::to_owned);
    let postgres: serde_json::Map<String, Value> = set("RATES_POSTGRES_IMAGES")
        .context("no images of PostgreSQL")?
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(version, image)| (version.to_owned(), image.into()))
        .collect();
    Ok(json!({
        "image": {"repository": repository, "tag": tag},
        "environmentImages": {"api": set("RATES_API_IMAGE"), "postgres": postgres, "exporter": set("RATES_EXPORTER_IMAGE")},
    }))
}

fn by_helm_for_one_namespace() -> Result<()> {
    let system = Kubectl::new(SYSTEM);
    let environment = Environment::new("helmed")?;
    let namespace = environment.kubectl.namespace().to_owned();
    let run = |arguments: &[&str], values: &Value| helm(&namespace, arguments, values);
    let _left_out = LeftOut::namespace(&system, &namespace)?;

    let definition = chart("rates-operator-crds");
    // It is there already, from the installation of the cluster's operator.
    let take = [
        "upgrade",
        "--install",
        "crds",
        &definition,
        "--take-ownership",
        "--force-conflicts",
    ];
    run(&take, &Value::Null)?;
    let mut values = images(&system)?;
    values["watchNamespace"] = json!(namespace);
    let operator = chart("rates-operator");
    let install = [
        "upgrade",
        "--install",
        RELEASE,
        &operator,
        "--values=-",
        "--wait",
        "--timeout=3m",
    ];
    run(&install, &values)?;

    environment.apply(&json!({"profile": "Preview"}))?;
    let took = environment.wait_ready()?;
    println!(
        "Ready by the operator of one namespace: {:.1} s",
        took.as_secs_f64()
    );
    ensure!(
        environment.client()?.get("/rates")?.status == 400,
        "its API answers"
    );
    told_by_its_own_operator(&environment)?;
    let cluster_wide = environment
        .kubectl
        .run(["get", "clusterroles,clusterrolebindings", "-o", "name"])?;
    ensure!(
        !cluster_wide.contains(OWN),
        "something of it is cluster-wide:\n{cluster_wide}"
    );

    let before = database(&environment)?;
    values["concurrency"] = json!(3);
    run(&install, &values)?;
    let deployment = environment
        .kubectl
        .get("deployment", OWN)?
        .context("no Deployment")?;
    let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"].to_string();
    ensure!(
        variables.contains(r#"{"name":"RATES_CONCURRENCY","value":"3"}"#),
        "the upgrade did not change it: {variables}"
    );
    environment.wait_ready()?;
    ensure!(
        database(&environment)? == before,
        "an upgrade of the operator replaced a database"
    );

    run(&["uninstall", RELEASE, "--wait"], &Value::Null)?;
    ensure!(
        environment.kubectl.get("deployment", OWN)?.is_none(),
        "the operator stayed"
    );
    run(&["uninstall", "crds"], &Value::Null)?;
    ensure!(
        system.get("crd", DEFINITION)?.is_some(),
        "the definition went with its chart"
    );
    ensure!(
        condition(&environment.object()?, "Ready")["status"] == "True",
        "the environment stays"
    );
    ensure!(database(&environment)? == before, "and goes on running");
    Ok(())
}

/// The cluster's operator has kept away: every Event is its own operator's.
fn told_by_its_own_operator(environment: &Environment) -> Result<()> {
    let events = environment
        .kubectl
        .run(["get", "events.events.k8s.io", "-o", "json"])?;
    let events: Value = serde_json::from_str(&events)?;
    let mut told = 0;
    for event in events["items"].as_array().into_iter().flatten() {
        if event["reportingController"] == "rates-operator" {
            told += 1;
            let by = event["reportingInstance"].as_str().unwrap_or_default();
            ensure!(by.starts_with(OWN), "{} was told by {by}", label(event));
        }
    }
    ensure!(told > 0, "no Event was told");
    Ok(())
}

/// The database pod that there is, by its uid.
fn database(environment: &Environment) -> Result<Value> {
    let pod = environment
        .kubectl
        .get("pod", "helmed-postgres-0")?
        .context("no database pod")?;
    Ok(pod["metadata"]["uid"].clone())
}
