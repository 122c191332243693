//! Starting a cluster, or finding it started.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::binaries::KubeBinaries;
use super::cgroup::Hierarchies;
use super::components;
use super::down;
use super::forward;
use super::network::{MAX_NODES, Network};
use super::plan::{
    Check, ClusterSpec, FORWARDER, Forwarder, Leftovers, Plan, Planned, Program, Step as PlannedStep,
    node_name,
};
use super::process::Identity;
use super::running::{Node, Running};
use super::secrets;
use super::state::{FORWARD_ONLY, Phase, Record, State, Status, tail, write_json, write_private};
use host::terminal::{Step, note};
use host::workspace;

/// Starts the cluster and waits until all of it is ready. One that runs already is used as it is.
pub fn up(spec: &ClusterSpec, binaries: &KubeBinaries) -> Result<Running> {
    if !(1..=MAX_NODES).contains(&spec.nodes) {
        bail!("a local cluster has 1 to {MAX_NODES} nodes, not {}", spec.nodes);
    }
    let network = Network::of(&spec.name)?;
    let state = State::of(&spec.name);
    let planned = components::planned(spec, binaries)?;
    let version = planned.version()?;
    let _lock = state.lock()?;
    let supervisor = if let Some(supervisor) = running(&state, &version, spec.nodes)? {
        supervisor
    } else {
        if goes_on(&state, &version, spec.leftovers)? {
            note(format_args!(
                "cluster {} has ended without `cargo xtask down`: going on with it",
                spec.name
            ));
            down::end(&state)?;
            state.begin_another_life()?;
            network.is_free(spec.nodes)?;
            write(&state, &planned, &version, &binaries.folder)?;
        } else {
            down::clear(&state)?;
            network.is_free(spec.nodes)?;
            write(&state, &planned, &version, &binaries.folder)?;
            secrets::write(&state, &network, spec.nodes)?;
        }
        supervise(&state, Environment::Clean)?
    };
    follow(&state, &supervisor)?;
    let nodes = (1..=spec.nodes)
        .map(|index| Node {
            name: node_name(index),
            address: network.node(index).address,
            containerd: state.containerd_socket(index),
        })
        .collect();
    Ok(Running {
        kubeconfig: state.kubeconfig(),
        kubectl: binaries.kubectl.clone(),
        nodes,
    })
}

/// Whether a cluster that does not run is gone on with, as it has volumes; an error where it would have to be removed.
fn goes_on(state: &State, version: &str, leftovers: Leftovers) -> Result<bool> {
    if leftovers == Leftovers::Remove || !state.has_volumes() {
        return Ok(false);
    }
    let record = state.record();
    if record.as_ref().is_some_and(|record| record.version == version) {
        return Ok(true);
    }
    let clone = record.map_or_else(
        || "a clone that is not known any more".to_owned(),
        |record| record.clone.display().to_string(),
    );
    bail!(
        "cluster {0} does not run, and what is left of it was made with other programs or settings (from {clone}): \
         it has volumes, in {1}/node-*/volumes. To remove it with them and start anew: `--fresh`, or \
         `cargo xtask down --cluster {0}`",
        state.name,
        state.folder.display()
    );
}

/// The supervisor of a live cluster that can be used as it is; an error for one that cannot.
fn running(state: &State, version: &str, nodes: u8) -> Result<Option<Identity>> {
    let Some(supervisor) = state.supervisor().filter(Identity::is_alive) else {
        return Ok(None);
    };
    let Some(record) = state.record() else {
        return Ok(None);
    };
    if state.status().is_some_and(|status| status.phase == Phase::Failed) {
        return Ok(None);
    }
    if record.version == version {
        return Ok(Some(supervisor));
    }
    let name = &state.name;
    let clone = record.clone.display();
    if record.nodes != nodes {
        bail!(
            "cluster {name} is running with --nodes {} (started from {clone}): ask for as many, \
             or end it first with `cargo xtask down --cluster {name}`",
            record.nodes
        );
    }
    bail!(
        "cluster {name} is running with other programs or settings (started from {clone}): \
         end it first with `cargo xtask down --cluster {name}`"
    );
}

/// Writes what the supervisor needs, and what the next command needs to know it again.
fn write(state: &State, planned: &Planned, version: &str, programs: &Path) -> Result<()> {
    let nodes = u8::try_from(planned.plan.nodes.len())?;
    fs::create_dir_all(state.path("log"))
        .with_context(|| format!("cannot make {}", state.folder.display()))?;
    write_json(
        &state.path("cluster.json"),
        &Record {
            version: version.to_owned(),
            clone: workspace::root(),
            nodes,
            programs: programs.to_path_buf(),
        },
    )?;
    for (path, contents) in &planned.files {
        write_private(path, contents)?;
    }
    write_json(&state.path("plan.json"), &planned.plan)?;
    Hierarchies::find()?.create(&state.name, nodes)
}

/// This program as it was when it started, also after a build has replaced its file.
const RUNNING_PROGRAM: &str = "/proc/self/exe";

/// What a supervisor's processes see of this process's environment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Environment {
    /// Nothing but PATH and HOME: a proxy meant for the internet would be asked for the cluster's addresses too.
    Clean,
    Inherited,
}

/// Starts the supervisor from a copy of this program, so that it does not change under a rebuild.
fn supervise(state: &State, environment: Environment) -> Result<Identity> {
    let copy = state.path("xtask");
    fs::copy(RUNNING_PROGRAM, &copy)
        .with_context(|| format!("cannot copy this program to {}", copy.display()))?;
    let log = File::create(state.log("supervisor")).context("cannot make the supervisor's log")?;
    let mut command = Command::new(&copy);
    if environment == Environment::Clean {
        command.env_clear();
        for name in ["PATH", "HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
    }
    let mut child = command
        .arg("supervise")
        .arg("--state")
        .arg(&state.folder)
        .current_dir(&state.folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot share the supervisor's log")?)
        .stderr(log)
        .spawn()
        .context("cannot start the supervisor")?;
    let identity = Identity::of(i32::try_from(child.id())?)?;
    // It outlives this process; while this one lasts, it must not stay behind as a zombie.
    thread::spawn(move || child.wait());
    Ok(identity)
}

/// Shows the start's progress until everything is ready; silent if that was so from the beginning.
fn follow(state: &State, supervisor: &Identity) -> Result<()> {
    if state.status().is_some_and(|status| status.phase == Phase::Ready) {
        return Ok(());
    }
    let step = Step::begin(format_args!("start cluster {}", state.name));
    let started = Instant::now();
    let mut shown = BTreeSet::new();
    loop {
        let alive = supervisor.is_alive();
        if let Some(status) = state.status() {
            show(&status, &mut shown, started);
            match status.phase {
                Phase::Ready => {
                    step.done();
                    return Ok(());
                }
                Phase::Failed => bail!(
                    "cluster {} did not start: {}\nall logs: {}{}",
                    state.name,
                    status.error.unwrap_or_default(),
                    state.path("log").display(),
                    if state.has_volumes() {
                        "\nto remove it, with its volumes, and start anew: `--fresh`"
                    } else {
                        ""
                    }
                ),
                Phase::Starting => {}
            }
        }
        if !alive {
            let log = state.log("supervisor");
            bail!(
                "the supervisor of cluster {} has ended; the end of {}:\n{}",
                state.name,
                log.display(),
                tail(&log, 10)
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn show(status: &Status, shown: &mut BTreeSet<String>, started: Instant) {
    for step in &status.steps {
        if let Some(seconds) = step.seconds
            && shown.insert(step.name.clone())
        {
            let total = started.elapsed().as_secs_f64();
            note(format_args!(
                "  {} ready after {seconds:.1} s (at {total:.1} s)",
                step.name
            ));
        }
    }
}

/// The process that leads a port of this machine to the cluster's Service, if there is one.
pub fn forwarder(name: &str) -> Option<i32> {
    let state = State::of(name);
    state.supervisor().filter(Identity::is_alive)?;
    let step = state
        .status()?
        .steps
        .into_iter()
        .find(|step| step.name == FORWARDER)?;
    step.process.filter(Identity::is_alive).map(|process| process.pid)
}

/// Keeps kubectl running with these arguments, which make it listen on the address.
pub fn forward_only(kubectl: &Path, arguments: &[String], listen: SocketAddr) -> Result<()> {
    keep_forwarding(FORWARD_ONLY, kubectl, arguments, listen, Environment::Inherited)
}

/// Leads a port of this machine to a Service of a local cluster that runs, beside the one of its own.
pub fn lead_port(name: &str, running: &Running, forwarder: &Forwarder) -> Result<()> {
    let program = State::of(name).path("xtask");
    let arguments = forward::arguments(forwarder, &running.kubectl, &running.kubeconfig);
    keep_forwarding(name, &program, &arguments, forwarder.listen, Environment::Clean)
}

/// Supervises one program, which listens on the address. It holds nothing that could be lost: one that leads elsewhere is
/// replaced.
fn keep_forwarding(
    name: &str,
    program: &Path,
    arguments: &[String],
    listen: SocketAddr,
    environment: Environment,
) -> Result<()> {
    let step = PlannedStep {
        name: FORWARDER.to_owned(),
        node: None,
        process: Some(Program::new(program, arguments.iter().cloned())),
        after: Vec::new(),
        ready: Check::Listens(listen),
    };
    let planned = Planned {
        plan: Plan {
            cluster: name.to_owned(),
            nodes: Vec::new(),
            steps: vec![step],
        },
        files: Vec::new(),
    };
    let version = planned.version()?;
    let state = State::of(name);
    let _lock = state.lock()?;
    let supervisor = if let Ok(Some(supervisor)) = running(&state, &version, 0) {
        supervisor
    } else {
        down::clear(&state)?;
        write(&state, &planned, &version, program)?;
        supervise(&state, environment)?
    };
    follow(&state, &supervisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a cluster of version `then` left, with a volume or without.
    fn left(with_volume: bool) -> (tempfile::TempDir, State) {
        let folder = tempfile::tempdir().unwrap();
        let state = State {
            name: "dev".to_owned(),
            folder: folder.path().to_path_buf(),
        };
        fs::create_dir_all(state.node(1).join("volumes")).unwrap();
        if with_volume {
            fs::create_dir(state.node(1).join("volumes/pvc-1")).unwrap();
        }
        let record = Record {
            version: "then".to_owned(),
            clone: "/clone".into(),
            nodes: 1,
            programs: "/programs".into(),
        };
        write_json(&state.path("cluster.json"), &record).unwrap();
        (folder, state)
    }

    #[test]
    fn a_cluster_with_volumes_is_gone_on_with_or_left_and_never_removed_unasked() {
        let (_folder, state) = left(true);
        assert!(goes_on(&state, "then", Leftovers::Keep).unwrap());
        let refused = goes_on(&state, "now", Leftovers::Keep).unwrap_err().to_string();
        assert!(
            refused.contains("--fresh") && refused.contains("/clone"),
            "{refused}"
        );
        assert!(!goes_on(&state, "now", Leftovers::Remove).unwrap());
    }

    #[test]
    fn a_cluster_without_a_volume_is_started_anew() {
        let (_folder, state) = left(false);
        assert!(!goes_on(&state, "then", Leftovers::Keep).unwrap());
    }

    #[test]
    fn another_life_keeps_the_logs_of_the_last_one_and_none_of_its_news() {
        let (_folder, state) = left(true);
        fs::create_dir(state.path("log")).unwrap();
        fs::write(state.log("etcd"), "the last words").unwrap();
        fs::write(state.path("status.json"), "{}").unwrap();
        for _ in 0..2 {
            state.begin_another_life().unwrap();
        }
        assert!(!state.path("log").exists() && !state.path("status.json").exists());
        let last = fs::read_to_string(state.path("log.last/etcd.log")).unwrap();
        assert_eq!(last, "the last words");
        assert!(state.has_volumes());
    }
}
