//! Arguments, logs and start.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rates_operator::controller::Scope;
use rates_operator::identity::MANAGER;
use rates_operator::run::{LeaseName, Settings, run};
use rates_operator::settings::{Images, Monitoring, Namespaces};
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
    /// Print the `CustomResourceDefinition` as YAML
    Crd,
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

    /// How many environments are looked at at once
    #[arg(long, env = "RATES_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,

    /// How many databases and APIs are replaced at once where another release of the operator makes other pods
    #[arg(long, env = "RATES_ROLLOUTS_AT_ONCE", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    rollouts_at_once: u16,

    /// Where /livez, /readyz and /metrics answer
    #[arg(
        long,
        env = "RATES_LISTEN",
        default_value = "0.0.0.0:8081",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,

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

    /// What is logged: a level, or levels by module as in info,kube=debug
    #[arg(long, env = "RATES_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
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
                namespaces: Namespaces::new(self.watch_namespace, self.exclude_namespaces)?,
                concurrency: self.concurrency,
            },
            rollouts_at_once: self.rollouts_at_once,
            listen: self.listen,
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
    let filter = EnvFilter::try_new(&arguments.log).map_err(|error| format!("--log: {error}"))?;
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    // In the log, with where it was, as the rest; the default prints to the terminal.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a panic")));
    let settings = arguments.settings()?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("cannot start: {error}"))?;
    runtime
        .block_on(run(settings))
        .map_err(|error| rates_operator::error_chain::chain(&error))
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
