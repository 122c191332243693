//! `cargo xtask bench operator`: the operator with a thousand environments on real Kubernetes without
//! kubelets, in ratios to kubectl with the same objects on the same machine in the same run.
//! docs/benchmarks-operator.md says what is measured and why.

mod audit;
mod children;
mod machine;
mod process;
mod report;
mod servers;

use std::time::Instant;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use self::audit::Requests;
use self::children::{Children, export};
use self::machine::{Machine, pause};
use self::process::Operator;
use self::report::{Report, mebibytes};
use self::servers::{APPLIER, OPERATOR, Servers};
use host::preflight;
use host::terminal::{Step, note};

/// How many environments share a namespace.
const PER_NAMESPACE: usize = 20;

#[derive(clap::Args)]
pub struct Arguments {
    /// How many environments there are
    #[arg(long, default_value_t = 1000, value_name = "N")]
    environments: usize,
    /// Thirty environments: shows that the benchmark works, and not how fast anything is
    #[arg(long)]
    quick: bool,
}

/// Measures, prints a table, and writes the figures to a file. A goal that is missed is no failure.
pub fn run(arguments: &Arguments) -> Result<()> {
    preflight::root()?;
    let machine = Machine::prepare()?;
    let environments = if arguments.quick {
        30
    } else {
        arguments.environments
    };
    let namespaces: Vec<String> = (0..environments.div_ceil(PER_NAMESPACE))
        .map(|number| format!("quay-{number}"))
        .collect();
    let mut report = Report::new(environments);
    let children = operator(&machine, &namespaces, &mut report)?;
    report.children = children.count;
    kubectl(&machine, &namespaces, &children, &mut report)?;
    report.judge();
    report.print();
    note(format_args!(
        "the figures are in {}",
        report.write(arguments.quick)?.display()
    ));
    Ok(())
}

/// All that is asked of the operator, and the children that it made.
fn operator(machine: &Machine, namespaces: &[String], report: &mut Report) -> Result<Children> {
    let step = Step::begin("start Kubernetes without kubelets");
    let mut servers = Servers::start(machine, "of-the-operator", namespaces)?;
    servers.apply("environments.json", &manifests(report.environments))?;
    step.done();

    let step = Step::begin(format!("{} environments become Ready", report.environments));
    let (began, clock) = (Timestamp::now(), Instant::now());
    let mut operator = Operator::start(machine, &servers, "operator")?;
    let all = number(report.environments);
    servers.until("all environments are Ready", |_| {
        Ok(operator.metric("rates_operator_environments", "phase=\"Ready\"") >= all)
    })?;
    report.operator_all_ready_seconds = clock.elapsed().as_secs_f64();
    operator.process.alive()?;
    report.operator_processor_seconds = operator.processor_seconds()?;
    let requests = settled(&mut servers, &operator, began)?;
    step.done();
    let last = requests.last_child_write.context("the operator wrote nothing")?;
    report.operator_last_child_write_seconds = last.duration_since(began).as_secs_f64();
    report.refused_requests = requests.refused;
    report.requests_per_environment = requests
        .counts
        .iter()
        .map(|(what, count)| (what.clone(), number(*count) / all))
        .collect();

    let step = Step::begin("a resync of all");
    let (resync, clock) = (Timestamp::now(), Instant::now());
    let before = operator.metric("rates_operator_reconciles_total", "");
    servers.kubectl(&[
        "annotate",
        "ratesenvironments",
        "--all",
        "--all-namespaces",
        "bench=resync",
    ])?;
    servers.until("all were looked at again", |_| {
        Ok(operator.metric("rates_operator_reconciles_total", "") >= before + all)
    })?;
    report.resync_seconds = clock.elapsed().as_secs_f64();
    let requests = settled(&mut servers, &operator, resync)?;
    report.resync_writes = requests.writes;
    report.resync_requests = requests.counts.values().sum();
    report.peak_memory_mebibytes = mebibytes(operator.memory("VmHWM")?);
    report.settled_memory_mebibytes = mebibytes(operator.memory("VmRSS")?);
    operator.process.terminate()?;
    step.done();

    let step = Step::begin("a restart");
    let (restart, clock) = (Timestamp::now(), Instant::now());
    let operator = Operator::start(machine, &servers, "operator-restarted")?;
    servers.until("all were looked at once", |_| {
        Ok(operator.metric("rates_operator_reconciles_total", "") >= all && operator.is_idle())
    })?;
    report.restart_seconds = clock.elapsed().as_secs_f64();
    let requests = settled(&mut servers, &operator, restart)?;
    report.restart_writes = requests.writes;
    report.restart_requests = requests.counts;
    report.restarted_peak_memory_mebibytes = mebibytes(operator.memory("VmHWM")?);
    operator.process.terminate()?;
    step.done();

    let folder = machine.work().join("children");
    export(&servers, namespaces, &folder)
}

/// kubectl with the same children, on an empty server beside the same processes.
fn kubectl(machine: &Machine, namespaces: &[String], children: &Children, report: &mut Report) -> Result<()> {
    let step = Step::begin("start Kubernetes without kubelets again");
    let servers = Servers::start(machine, "of-kubectl", namespaces)?;
    step.done();
    let step = Step::begin(format!("kubectl applies {} children", children.count));
    let began = Timestamp::now();
    servers.start_applying(&children.folder)?.finish()?;
    let requests = all_logged(&servers, APPLIER, began)?;
    let last = requests.last_child_write.context("kubectl wrote nothing")?;
    report.kubectl_last_child_write_seconds = last.duration_since(began).as_secs_f64();
    step.done();
    Ok(())
}

/// What the operator asked since a moment, once it is idle and has been for a while.
fn settled(servers: &mut Servers, operator: &Operator, since: Timestamp) -> Result<Requests> {
    servers.until("the operator is idle", |_| Ok(operator.is_idle()))?;
    // Controllers, the disruption controller above all, write status for some seconds more.
    let mut looked_at = operator.metric("rates_operator_reconciles_total", "");
    loop {
        pause(3000)?;
        let now = operator.metric("rates_operator_reconciles_total", "");
        if (now - looked_at).abs() < 0.5 && operator.is_idle() {
            break;
        }
        looked_at = now;
    }
    all_logged(servers, OPERATOR, since)
}

/// The audit log, which is written in batches, once all of it is there.
fn all_logged(servers: &Servers, user: &str, since: Timestamp) -> Result<Requests> {
    // A batch is held back for a second at most.
    pause(4000)?;
    audit::requests(&servers.audit_log(), user, since)
}

fn manifests(count: usize) -> Value {
    let environment = |number: usize| {
        json!({
            "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
            "metadata": {"name": format!("pier-{number}"), "namespace": format!("quay-{}", number / PER_NAMESPACE)},
            "spec": {"profile": "Preview", "database": {"seed": {"bundled": {}}}},
        })
    };
    let items: Vec<Value> = (0..count).map(environment).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn number(count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let number = count as f64;
    number
}
