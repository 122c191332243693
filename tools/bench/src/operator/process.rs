//! The operator as a process: what its metrics and the kernel say of it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::machine::{Machine, Process};
use super::servers::{OPERATOR, Servers};
use control_plane::free_ports;

pub struct Operator {
    pub process: Process,
    port: u16,
}

impl Operator {
    pub fn start(machine: &Machine, servers: &Servers, name: &str) -> Result<Self> {
        let [port] = free_ports()?;
        let arguments = [
            "run",
            "--api-image=rates-api:1",
            "--postgres-image=13.5=postgres:1",
            "--lease-namespace=rates-system",
            "--identity=bench",
            // All of them: what is measured is how fast it writes, and not how long new previews wait for each other.
            "--starts-at-once=65535",
            "--log=warn",
        ];
        let mut arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        arguments.push(format!("--listen=127.0.0.1:{port}"));
        let kubeconfig = servers.kubeconfig(OPERATOR).display().to_string();
        let env = [("KUBECONFIG", kubeconfig.as_str())];
        let process = Process::start(name, &machine.operator, &arguments, &env, servers.folder())?;
        Ok(Self { process, port })
    }

    /// The sum of a metric's samples whose labels contain a text; 0 while it does not answer.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let text = self.metrics().unwrap_or_default();
        let samples = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']) && rest.contains(labels))
        });
        let value = |line: &str| {
            line.rsplit(' ')
                .next()
                .and_then(|number| number.parse::<f64>().ok())
        };
        samples.filter_map(value).sum()
    }

    fn metrics(&self) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Nothing is due, and nothing under way.
    pub fn is_idle(&self) -> bool {
        let text = self.metrics().unwrap_or_default();
        let is_zero = |name: &str| text.lines().any(|line| line == format!("{name} 0"));
        is_zero("rates_operator_queue_depth") && is_zero("rates_operator_reconciles_in_flight")
    }

    /// A line of `/proc/PID/status`, such as `VmHWM`, in bytes.
    pub fn memory(&self, line: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.process.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let prefix = format!("{line}:");
        let value = text.lines().find_map(|text| text.strip_prefix(&prefix));
        let kibibytes: u64 = value
            .and_then(|value| value.trim().strip_suffix(" kB"))
            .and_then(|value| value.parse().ok())
            .with_context(|| format!("{path} has no {line}"))?;
        Ok(kibibytes * 1024)
    }

    /// Processor seconds since it was started.
    pub fn processor_seconds(&self) -> Result<f64> {
        let path = format!("/proc/{}/stat", self.process.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let after = text.rsplit(')').next().unwrap_or_default();
        let ticks: f64 = after
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
            .sum();
        // `USER_HZ` is 100 on every machine that this runs on.
        Ok(ticks / 100.0)
    }
}
