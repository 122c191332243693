//! The process that outlives `up`: it carries out a plan, starts what has ended again, and
//! knows nothing of Kubernetes. It is a copy of this program in the cluster's folder, so that
//! neither a rebuild nor a deleted clone takes it away.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::cgroup::Hierarchies;
use super::check;
use super::mounts;
use super::node::Namespaces;
use super::plan::{Plan, Program, Step};
use super::process::Identity;
use super::state::{NAMESPACES, Phase, State, Status, StepStatus, tail, write_json};

/// How long a step may take until it is ready, on a machine that also compiles.
const DEADLINE: Duration = Duration::from_mins(3);
/// Between two tries of a condition.
const INTERVAL: Duration = Duration::from_millis(100);
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LAST_DELAY: Duration = Duration::from_secs(30);
/// A process that has lasted this long starts again without delay.
const STABLE: Duration = Duration::from_mins(1);
/// A log is cut when it has grown beyond this; its last part is kept beside it.
const LOG_LIMIT: u64 = 64 * 1024 * 1024;

#[derive(clap::Args)]
pub struct Arguments {
    /// The cluster's folder
    #[arg(long)]
    state: PathBuf,
}

/// Runs until it is killed, or until a step was not ready in time.
pub fn run(arguments: &Arguments) -> Result<()> {
    // Fails only where this process leads a group already, and then it needs no other.
    let _ = nix::unistd::setsid();
    let name = arguments
        .state
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let state = State {
        name,
        folder: arguments.state.clone(),
    };
    ordinary_surroundings();
    // Before anything else: from here on, whatever this process starts is found through its group.
    Hierarchies::find()?.join(&state.name)?;
    write_json(&state.path("supervisor.json"), &Identity::own()?)?;
    let text = fs::read(state.path("plan.json")).context("cannot read the plan")?;
    let plan: Plan = serde_json::from_slice(&text).context("the plan is not one of this version")?;
    let board = Arc::new(Board::new(&state, &plan)?);
    if let Err(error) = carry_out(&state, &plan, &board) {
        board.fail(&format!("{error:#}"));
    }
    loop {
        if board.lock().phase == Phase::Failed {
            board.end_processes();
            std::process::exit(1);
        }
        cut_logs(&state.path("log"));
        board.wait(Duration::from_mins(1));
    }
}

/// Gives the processes what a service manager would, whatever the shell was that `up` was called from.
fn ordinary_surroundings() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    // Containers inherit the number of files they may open; shells often allow no more than 1,024.
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("cannot raise the number of open files: {error}");
    }
}

fn carry_out(state: &State, plan: &Plan, board: &Arc<Board>) -> Result<()> {
    // Before the nodes have a view of their own.
    for file_system in plan.nodes.iter().filter_map(|node| node.volumes.as_ref()) {
        mounts::mount_file(file_system)?;
    }
    let mut namespaces = BTreeMap::new();
    for node in &plan.nodes {
        let created = Namespaces::create()?;
        created.connect(node, plan.nodes.len() > 1)?;
        namespaces.insert(node.index, Arc::new(created));
    }
    let open: BTreeMap<_, _> = namespaces
        .iter()
        .map(|(node, namespaces)| (*node, namespaces.descriptors()))
        .collect();
    write_json(&state.path(NAMESPACES), &open)?;
    for (index, step) in plan.steps.iter().enumerate() {
        let worker = Worker {
            index,
            step: step.clone(),
            namespaces: step.node.and_then(|node| namespaces.get(&node).cloned()),
            log: state.log(&step.name),
            state: state.clone(),
            board: Arc::clone(board),
        };
        thread::Builder::new()
            .name(step.name.clone())
            .spawn(move || worker.run())
            .with_context(|| format!("cannot start a thread for {}", step.name))?;
    }
    Ok(())
}

/// What is known about all steps; every change is written for `up` to read.
struct Board {
    status: Mutex<Status>,
    changed: Condvar,
    file: PathBuf,
}

impl Board {
    fn new(state: &State, plan: &Plan) -> Result<Self> {
        let steps = plan
            .steps
            .iter()
            .map(|step| StepStatus {
                name: step.name.clone(),
                seconds: None,
                process: None,
                restarts: 0,
            })
            .collect();
        let status = Status {
            phase: Phase::Starting,
            steps,
            error: None,
        };
        let file = state.path("status.json");
        write_json(&file, &status)?;
        Ok(Self {
            status: Mutex::new(status),
            changed: Condvar::new(),
            file,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut Status)) {
        let mut status = self.lock();
        change(&mut status);
        if status.phase == Phase::Starting && status.steps.iter().all(|step| step.seconds.is_some()) {
            status.phase = Phase::Ready;
        }
        if let Err(error) = write_json(&self.file, &*status) {
            eprintln!("{error:#}");
        }
        self.changed.notify_all();
    }

    fn fail(&self, message: &str) {
        eprintln!("{message}");
        self.update(|status| {
            if status.phase == Phase::Starting {
                status.phase = Phase::Failed;
                status.error = Some(message.to_owned());
            }
        });
    }

    /// Waits for a change, at most this long.
    fn wait(&self, limit: Duration) {
        let status = self.lock();
        drop(self.changed.wait_timeout(status, limit));
    }

    /// Waits until all of these steps are ready.
    fn wait_for(&self, names: &[String]) {
        let mut status = self.lock();
        while !names.iter().all(|name| {
            status
                .steps
                .iter()
                .any(|step| step.name == *name && step.seconds.is_some())
        }) {
            status = self.changed.wait(status).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end_processes(&self) {
        for process in self.lock().steps.iter().filter_map(|step| step.process.as_ref()) {
            process.kill();
        }
    }
}

/// One step's thread.
struct Worker {
    index: usize,
    step: Step,
    namespaces: Option<Arc<Namespaces>>,
    log: PathBuf,
    state: State,
    board: Arc<Board>,
}

impl Worker {
    fn run(&self) {
        self.board.wait_for(&self.step.after);
        let started = Instant::now();
        thread::scope(|scope| {
            if let Some(program) = &self.step.process {
                scope.spawn(move || self.supervise(program));
            }
            self.await_ready(started);
        });
    }

    /// Steps into the node, if the step belongs to one.
    fn enter(&self) -> Result<()> {
        self.namespaces
            .as_ref()
            .map_or(Ok(()), |namespaces| namespaces.enter())
    }

    fn await_ready(&self, started: Instant) {
        if let Err(error) = self.enter() {
            return self.board.fail(&format!("{}: {error:#}", self.step.name));
        }
        loop {
            match check::holds(&self.step.ready, &self.log) {
                Ok(()) => break,
                Err(error) if started.elapsed() > DEADLINE => {
                    let mut message = format!(
                        "{} was not ready after {} s: {error:#}",
                        self.step.name,
                        DEADLINE.as_secs()
                    );
                    if self.step.process.is_some() {
                        let end = tail(&self.log, 10);
                        message = format!("{message}\nthe end of {}:\n{end}", self.log.display());
                    }
                    return self.board.fail(&message);
                }
                Err(_) => thread::sleep(INTERVAL),
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        self.board
            .update(|status| status.steps[self.index].seconds = Some(seconds));
    }

    /// Keeps the process running.
    fn supervise(&self, program: &Program) {
        if let Err(error) = self.enter() {
            return self.board.fail(&format!("{}: {error:#}", self.step.name));
        }
        let mut delay = FIRST_DELAY;
        loop {
            if self.is_lost() {
                delay = FIRST_DELAY;
                while self.is_lost() {
                    thread::sleep(INTERVAL);
                }
            }
            let started = Instant::now();
            let ended = match self.run_once(program) {
                Ok(status) => describe(status),
                Err(error) => format!("{error:#}"),
            };
            if self.is_lost() {
                eprintln!("{} ended with its node ({ended})", self.step.name);
                continue;
            }
            if started.elapsed() > STABLE {
                delay = FIRST_DELAY;
            }
            eprintln!(
                "{} ended ({ended}); starting it again in {:.1} s",
                self.step.name,
                delay.as_secs_f64()
            );
            thread::sleep(delay);
            delay = (delay * 2).min(LAST_DELAY);
            self.board.update(|status| status.steps[self.index].restarts += 1);
        }
    }

    /// Whether its node is lost, until whoever took it away brings it back.
    fn is_lost(&self) -> bool {
        self.step.node.is_some_and(|node| self.state.lost(node).exists())
    }

    fn run_once(&self, program: &Program) -> Result<ExitStatus> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot open {}", self.log.display()))?;
        let mut child = Command::new(&program.path)
            .args(&program.arguments)
            .current_dir(&self.state.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share a log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.path.display()))?;
        if let Some(node) = self.step.node
            && let Err(error) =
                Hierarchies::find().and_then(|groups| groups.adopt(&self.state.name, node, child.id()))
        {
            eprintln!("{} would not be frozen with its node: {error:#}", self.step.name);
        }
        let identity = i32::try_from(child.id())
            .ok()
            .and_then(|pid| Identity::of(pid).ok());
        self.board
            .update(|status| status.steps[self.index].process = identity);
        child.wait().context("cannot wait for it")
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Keeps every log below the limit. The writers append, so a log can be cut under them.
fn cut_logs(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        if is_log && entry.metadata().is_ok_and(|metadata| metadata.len() > LOG_LIMIT) {
            let cut = || -> std::io::Result<()> {
                fs::copy(&path, path.with_extension("log.1"))?;
                File::options().write(true).open(&path)?.set_len(0)
            };
            if let Err(error) = cut() {
                eprintln!("cannot cut {}: {error}", path.display());
            }
        }
    }
}
