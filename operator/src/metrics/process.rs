//! What the operator and the activator both tell of their process: its version and its memory.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// The process that this is.
#[derive(Default)]
pub struct Process {
    resident: Gauge<f64, AtomicU64>,
}

impl Process {
    /// Registers the version and the memory; gives the registry of the program's own metrics, whose names begin with `prefix`.
    pub fn register<'a>(&self, registry: &'a mut Registry, prefix: &str) -> &'a mut Registry {
        registry.register_with_unit(
            "process_resident_memory",
            "Memory of the process that is in use",
            Unit::Bytes,
            self.resident.clone(),
        );
        let own = registry.sub_registry_with_prefix(prefix);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        own.register("build", "The program's version", Info::new(version));
        own
    }

    /// Reads how much memory is in use now.
    pub fn refresh(&self) {
        if let Some(bytes) = resident_bytes() {
            self.resident.set(bytes);
        }
    }
}

/// The `VmRSS` of this process.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u32 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(f64::from(kibibytes) * 1024.0)
}
