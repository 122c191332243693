//! `cargo xtask up`: from a fresh clone to an environment that answers.

mod context;
mod environment;
mod monitoring;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result};

use self::environment::{ENVIRONMENT, NAMESPACE, SERVICE, SERVICE_PORT};
use host::preflight;
use install::access_folder;
use local_cluster::{ClusterSpec, Forwarder, KubeBinaries, Leftovers, Running};

/// The local cluster's name.
const CLUSTER: &str = local_cluster::DEV;

#[derive(clap::Args)]
pub struct Arguments {
    /// How many nodes the local cluster has
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=i64::from(local_cluster::MAX_NODES)), conflicts_with = "context")]
    nodes: u8,
    /// The port of 127.0.0.1 that leads to the environment
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Prometheus and Alertmanager on the local cluster, and what they measure of the environment (spec.monitoring). It
    /// stays on in every later `up` until `down`
    #[arg(long, conflicts_with = "context")]
    monitoring: bool,
    /// The port of 127.0.0.1 that leads to Prometheus
    #[arg(long, default_value_t = 9090, conflicts_with = "context")]
    monitoring_port: u16,
    /// End and remove what there is of the local cluster first, with its volumes. Without it, a cluster that a crash or a
    /// reboot ended is gone on with
    #[arg(long, conflicts_with = "context")]
    fresh: bool,
    /// Use the cluster of this context of your kubeconfig instead of a local one
    #[arg(long, requires = "registry")]
    context: Option<String>,
    /// Where that cluster pulls images from, for example registry.example/rates
    #[arg(long, requires = "context")]
    registry: Option<String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    preflight::root()?;
    preflight::port(
        preflight::local(arguments.port),
        local_cluster::forwarder(cluster_name(arguments)),
        "--port",
    )?;
    if arguments.monitoring {
        preflight::port(
            preflight::local(arguments.monitoring_port),
            local_cluster::forwarder(local_cluster::MONITORING),
            "--monitoring-port",
        )?;
    }
    match (&arguments.context, &arguments.registry) {
        (Some(context), Some(registry)) => context::run(context, registry, arguments.port),
        _ => local(arguments),
    }
}

fn cluster_name(arguments: &Arguments) -> &'static str {
    if arguments.context.is_some() {
        local_cluster::FORWARD_ONLY
    } else {
        CLUSTER
    }
}

fn local(arguments: &Arguments) -> Result<()> {
    install::prepare()?;
    if arguments.fresh {
        local_cluster::down_if_there(CLUSTER)?;
    }
    let spec = ClusterSpec {
        name: CLUSTER.to_owned(),
        nodes: arguments.nodes,
        pause_image: install::pause_image()?,
        forwarder: Some(Forwarder {
            listen: preflight::local(arguments.port),
            namespace: NAMESPACE.to_owned(),
            service: SERVICE.to_owned(),
            port: SERVICE_PORT,
        }),
        leftovers: Leftovers::Keep,
        proxy_seconds: None,
        volume_mib: None,
    };
    let (running, binaries) = install::with_operator(&spec)?;
    write_access(&running, &binaries)?;
    let kubectl = || running.kubectl();
    let prometheus = (arguments.monitoring || monitoring::is_installed(&kubectl)?)
        .then_some(preflight::local(arguments.monitoring_port));
    if let Some(listen) = prometheus {
        monitoring::start(&running, listen)?;
    }
    environment::apply_and_wait(&kubectl, ENVIRONMENT, prometheus.is_some())?;
    environment::answers(preflight::local(arguments.port))?;
    print_access(prometheus);
    Ok(())
}

/// Puts the kubeconfig and kubectl into the clone.
fn write_access(running: &Running, binaries: &KubeBinaries) -> Result<()> {
    let folder = access_folder();
    let programs = folder.join("bin");
    fs::create_dir_all(&programs).with_context(|| format!("cannot make {}", programs.display()))?;
    let kubeconfig = folder.join("kubeconfig");
    fs::copy(&running.kubeconfig, &kubeconfig)
        .with_context(|| format!("cannot write {}", kubeconfig.display()))?;
    link(&binaries.kubectl, &programs.join("kubectl"))
}

fn link(target: &Path, at: &Path) -> Result<()> {
    if fs::read_link(at).is_ok_and(|present| present == target) {
        return Ok(());
    }
    let _ = fs::remove_file(at);
    symlink(target, at).with_context(|| format!("cannot make the link {}", at.display()))
}

/// The only lines on standard output: what a shell needs to reach the cluster.
fn print_access(prometheus: Option<SocketAddr>) {
    let folder = access_folder();
    println!("export KUBECONFIG={}", folder.join("kubeconfig").display());
    println!("export PATH={}:$PATH", folder.join("bin").display());
    if let Some(prometheus) = prometheus {
        println!("export RATES_PROMETHEUS=http://{prometheus}");
    }
}
