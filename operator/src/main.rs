//! Arguments, logs and start.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use rates_operator::activator;
use rates_operator::activator_ports::ActivatorPorts;
use rates_operator::controller::Scope;
use rates_operator::error_chain::chain;
use rates_operator::identity::MANAGER;
use rates_operator::run::{LeaseName, Settings, run};
use rates_operator::settings::{Images, Monitoring, Namespaces};
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

/// Turns every `RatesEnvironment` of a cluster into a running system.
#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand)]
enum Command {
    /// Run the controller (the default)
    Run(Box<Run>),
    /// Run the activator: it has environments that sleep wake when a request comes, and forwards it
    Activate(Activate),
    /// Print the `CustomResourceDefinition` as YAML
    Crd,
}

#[derive(Args)]
struct Activate {
    /// How many seconds a request waits for its environment; then it is answered with 503
    #[arg(long, env = "RATES_HOLD_SECONDS", default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..))]
    hold_seconds: u16,

    /// How many requests wait at once; further ones are answered with 503
    #[arg(long, env = "RATES_MAX_HELD", default_value_t = 1000, value_name = "REQUESTS", value_parser = clap::value_parser!(u32).range(1..100_000))]
    max_held: u32,

    /// How many of them wait for one environment
    #[arg(long, env = "RATES_MAX_HELD_PER_ENVIRONMENT", default_value_t = 200, value_name = "REQUESTS", value_parser = clap::value_parser!(u32).range(1..100_000))]
    max_held_per_environment: u32,

    /// How many seconds the activator still takes connections after it was told to end
    #[arg(
        long,
        env = "RATES_DRAIN_SECONDS",
        default_value_t = 10,
        value_name = "SECONDS"
    )]
    drain_seconds: u16,

    #[command(flatten)]
    common: Common,
}

impl Activate {
    fn settings(&self) -> Result<activator::Settings, String> {
        Ok(activator::Settings {
            ports: self.common.activator_ports,
            listen: self.common.listen,
            namespaces: self.common.namespaces()?,
            limits: activator::Limits {
                hold: Duration::from_secs(self.hold_seconds.into()),
                held: self.max_held,
                held_per_environment: self.max_held_per_environment,
            },
            drain: Duration::from_secs(self.drain_seconds.into()),
        })
    }
}

/// What the controller and the activator are both told.
#[derive(Args, Clone)]
struct Common {
    /// Serve one namespace only; by default all of them
    #[arg(long, env = "RATES_WATCH_NAMESPACE", value_name = "NAMESPACE")]
    watch_namespace: Option<String>,

    /// Leave these namespaces to operators of their own; repeated, or separated by commas
    #[arg(
        long = "exclude-namespace",
        env = "RATES_EXCLUDE_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE"
    )]
    exclude_namespaces: Vec<String>,

    /// The activator's ports, one for each environment that sleeps, as FIRST-LAST
    #[arg(long, env = "RATES_ACTIVATOR_PORTS", default_value = ActivatorPorts::DEFAULT, value_name = "PORTS")]
    activator_ports: ActivatorPorts,

    /// Where /livez, /readyz and /metrics answer
    #[arg(
        long,
        env = "RATES_LISTEN",
        default_value = "0.0.0.0:8081",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,

    /// What is logged: a level, or levels by module as in info,kube=debug
    #[arg(long, env = "RATES_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

impl Common {
    fn namespaces(&self) -> Result<Namespaces, String> {
        Namespaces::new(self.watch_namespace.clone(), self.exclude_namespaces.clone())
    }

    fn begin_the_log(&self) -> Result<(), String> {
        let filter = EnvFilter::try_new(&self.log).map_err(|error| format!("--log: {error}"))?;
        tracing_subscriber::fmt()
            .json()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
        // In the log, with where it was, as the rest; the default prints to the terminal.
        std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a panic")));
        Ok(())
    }
}

#[derive(Args, Clone)]
struct Run {
    /// The API image of environments that name none, such as localhost/rates-api:1
    #[arg(long, env = "RATES_API_IMAGE", value_name = "IMAGE")]
    api_image: Option<String>,

    /// A PostgreSQL version and its image, such as 13.5=localhost/rates-postgres-13.5:1; repeated, or separated by commas
    #[arg(
        long = "postgres-image",
        env = "RATES_POSTGRES_IMAGES",
        value_delimiter = ',',
        value_name = "VERSION=IMAGE"
    )]
    postgres_images: Vec<String>,

    /// The image of the container beside PostgreSQL that spec.monitoring adds, such as localhost/rates-exporter:1; without it there is none
    #[arg(long, env = "RATES_EXPORTER_IMAGE", value_name = "IMAGE")]
    exporter_image: Option<String>,

    /// A namespace whose pods may reach the ports of metrics of environments with spec.monitoring; repeated, or separated by commas
    #[arg(
        long = "monitoring-namespace",
        env = "RATES_MONITORING_NAMESPACES",
        value_delimiter = ',',
        default_value = "monitoring",
        value_name = "NAMESPACE"
    )]
    monitoring_namespaces: Vec<String>,

    /// How many environments are looked at at once
    #[arg(long, env = "RATES_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,

    /// How many databases and APIs are replaced at once where another release of the operator makes other pods
    #[arg(long, env = "RATES_ROLLOUTS_AT_ONCE", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    rollouts_at_once: u16,

    /// How many new environments of the profile Preview start at once; further ones wait until one of them is Ready: two for each processor of a small cluster
    #[arg(long, env = "RATES_STARTS_AT_ONCE", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    starts_at_once: u16,

    /// How many environments of the profile Preview run at once in a namespace; further ones wait for their turn. 0: all of them run
    #[arg(
        long,
        env = "RATES_MAX_RUNNING_PREVIEWS",
        default_value_t = 0,
        value_name = "PREVIEWS"
    )]
    max_running_previews: u16,

    /// The namespace of the lease by which one operator leads; empty: this is the only one
    #[arg(
        long,
        env = "RATES_LEASE_NAMESPACE",
        default_value = "rates-system",
        value_name = "NAMESPACE"
    )]
    lease_namespace: String,

    /// The name of that lease; operators with different names do not reckon with each other
    #[arg(long, env = "RATES_LEASE_NAME", default_value = MANAGER, value_name = "NAME")]
    lease_name: String,

    /// The name of this process among several, in a pod the pod's; by default one that no other has
    #[arg(long, env = "RATES_IDENTITY", value_name = "NAME")]
    identity: Option<String>,

    #[command(flatten)]
    common: Common,
}

impl Run {
    fn settings(self) -> Result<Settings, String> {
        let api = self.api_image.ok_or(
            "no API image was given; set --api-image or RATES_API_IMAGE, such as localhost/rates-api:1",
        )?;
        let lease = LeaseName {
            namespace: self.lease_namespace,
            name: self.lease_name,
        };
        Ok(Settings {
            images: Images::new(api, &self.postgres_images)?,
            monitoring: Monitoring::new(self.exporter_image, self.monitoring_namespaces),
            scope: Scope {
                namespaces: self.common.namespaces()?,
                concurrency: self.concurrency,
            },
            rollouts_at_once: self.rollouts_at_once,
            starts_at_once: self.starts_at_once,
            max_running_previews: self.max_running_previews,
            activator_ports: self.common.activator_ports,
            listen: self.common.listen,
            lease: Some(lease).filter(|lease| !lease.namespace.is_empty()),
            identity: match self.identity {
                Some(identity) => identity,
                None => unique()?,
            },
        })
    }
}

/// Two processes with one name would both take the lease for theirs.
fn unique() -> Result<String, String> {
    let number = getrandom::u64().map_err(|error| format!("cannot make a name: {error}; set --identity"))?;
    Ok(format!("process-{}-{number:016x}", std::process::id()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Some(Command::Crd) => print_crd(),
        Some(Command::Run(run)) => start(*run),
        Some(Command::Activate(activate)) => start_activator(&activate),
        None => start(arguments.run),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("rates-operator: {message}");
            ExitCode::FAILURE
        }
    }
}

fn print_crd() -> Result<(), String> {
    print!(
        "{}",
        rates_operator::crd::definition_yaml().map_err(|error| error.to_string())?
    );
    Ok(())
}

fn start(arguments: Run) -> Result<(), String> {
    arguments.common.begin_the_log()?;
    let settings = arguments.settings()?;
    runtime()?.block_on(run(settings)).map_err(|error| chain(&error))
}

fn start_activator(arguments: &Activate) -> Result<(), String> {
    arguments.common.begin_the_log()?;
    let settings = arguments.settings()?;
    runtime()?
        .block_on(activator::activate(settings))
        .map_err(|error| chain(&error))
}

fn runtime() -> Result<Runtime, String> {
    Runtime::new().map_err(|error| format!("cannot start: {error}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Arguments;

    #[test]
    fn the_documentation_has_every_setting_as_help_has_it_and_no_others() {
        let page = include_str!("../../docs/running-the-operator.md");
        settings_page::compare(&Arguments::command(), page).unwrap();
    }
}
