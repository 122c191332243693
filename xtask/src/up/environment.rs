//! Applying the sample environment, and watching it become ready.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use host::terminal::{Step, note};
use host::{command, workspace};

/// What `up` leaves running: the sample environment and its Service.
pub const ENVIRONMENT: &str = "development";
pub const NAMESPACE: &str = "default";
pub const SERVICE: &str = "development-api";
pub const SERVICE_PORT: u16 = 80;

const READY: Duration = Duration::from_mins(5);
const INTERVAL: Duration = Duration::from_millis(300);

/// What `up` reads of a `RatesEnvironment`.
#[derive(Deserialize)]
struct Environment {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    generation: i64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    message: String,
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
    observed_generation: i64,
}

impl Environment {
    fn is_ready(&self) -> bool {
        self.status.conditions.iter().any(|condition| {
            condition.r#type == "Ready"
                && condition.status == "True"
                && condition.observed_generation >= self.metadata.generation
        })
    }

    /// What is not as it should be, for the error of a wait that was too long.
    fn complaints(&self) -> String {
        let complaints: Vec<_> = self
            .status
            .conditions
            .iter()
            .filter(|condition| condition.status != "True")
            .map(|condition| {
                format!(
                    "{}={} ({}: {})",
                    condition.r#type, condition.status, condition.reason, condition.message
                )
            })
            .collect();
        complaints.join("; ")
    }
}

/// Applies the sample of this name, with or without spec.monitoring, and waits until it is Ready; shows what is going on
/// meanwhile.
pub fn apply_and_wait(kubectl: &dyn Fn() -> Command, name: &str, monitoring: bool) -> Result<()> {
    let step = Step::begin(format_args!("environment {name}"));
    let manifest = if monitoring {
        monitored(name)?
    } else {
        sample(name)
    };
    command::output(
        kubectl()
            .args(["apply", "--server-side", "--namespace", NAMESPACE, "--filename"])
            .arg(manifest),
    )?;
    let started = Instant::now();
    let mut shown = String::new();
    loop {
        let text = command::output(kubectl().args([
            "get",
            "ratesenvironment",
            name,
            "--namespace",
            NAMESPACE,
            "--output=json",
        ]))?;
        let environment: Environment = serde_json::from_str(&text)
            .with_context(|| format!("environment {name} has another form than expected"))?;
        let line = format!("{}: {}", environment.status.phase, environment.status.message);
        if !environment.status.message.is_empty() && line != shown {
            note(format_args!(
                "  {line} ({:.1} s)",
                started.elapsed().as_secs_f64()
            ));
            shown = line;
        }
        if environment.is_ready() {
            step.done();
            return Ok(());
        }
        if started.elapsed() > READY {
            bail!(
                "environment {name} is not ready after {} s: {shown}; {}",
                READY.as_secs(),
                environment.complaints()
            );
        }
        thread::sleep(INTERVAL);
    }
}

/// Waits until the forwarded port answers as the API does.
pub fn answers(address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match ask(address) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => thread::sleep(INTERVAL),
        }
    }
}

fn ask(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("nothing listens on {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(35)))?;
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("http://{address}/ answers {status:?}");
    }
    Ok(())
}

/// The manifest of a sample environment.
fn sample(name: &str) -> PathBuf {
    workspace::root().join(format!("manifests/samples/{name}.yaml"))
}

/// The sample with spec.monitoring, as a file.
fn monitored(name: &str) -> Result<PathBuf> {
    let sample = sample(name);
    let text = fs::read_to_string(&sample).with_context(|| format!("cannot read {}", sample.display()))?;
    let folder = install::access_folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(format!("{name}.json"));
    fs::write(&path, with_monitoring(&text)?.to_string())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn with_monitoring(text: &str) -> Result<Value> {
    let mut manifest: Value = serde_yaml::from_str(text).context("the sample is no YAML of one object")?;
    // A Preview goes without the exporter beside PostgreSQL.
    manifest["spec"]["profile"] = json!("Staging");
    // Without the Prometheus operator there is no kind PodMonitor: Prometheus finds the pods by itself.
    manifest["spec"]["monitoring"] = json!({"podMonitor": false});
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitored_sample_differs_in_its_profile_and_one_field() {
        let text = fs::read_to_string(sample(ENVIRONMENT)).unwrap();
        let mut found = with_monitoring(&text).unwrap();
        let monitoring = found["spec"].as_object_mut().unwrap().remove("monitoring");
        assert_eq!(monitoring, Some(json!({"podMonitor": false})));
        let mut sample: Value = serde_yaml::from_str(&text).unwrap();
        sample["spec"]["profile"] = json!("Staging");
        assert_eq!(found, sample);
    }

    fn environment(text: &str) -> Environment {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_ready_of_an_earlier_spec_does_not_count() {
        let with = |observed: u8| {
            environment(&format!(
                r#"{{"metadata":{{"generation":2}},"status":{{"conditions":[{{"type":"Ready","status":"True","observedGeneration":{observed}}}]}}}}"#
            ))
        };
        assert!(!with(1).is_ready());
        assert!(with(2).is_ready());
    }

    #[test]
    fn an_environment_without_a_status_is_not_ready() {
        assert!(!environment(r#"{"metadata":{"generation":1}}"#).is_ready());
    }

    #[test]
    fn complaints_name_the_conditions_that_do_not_hold() {
        let found = environment(
            r#"{"metadata":{},"status":{"conditions":[
                {"type":"Seeded","status":"False","reason":"Failed","message":"no table"},
                {"type":"DatabaseReady","status":"True"}]}}"#,
        );
        assert_eq!(found.complaints(), "Seeded=False (Failed: no table)");
    }
}
