//! What is measured with on this machine: programs, a folder of its own, and processes that end
//! with this one, however it ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use host::terminal::Step;
use host::{command, workspace};
use local_cluster::Simulated;

/// How the names of folders begin that a run leaves only when it is killed.
const WORK_PREFIX: &str = "operator-";

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

pub struct Machine {
    /// etcd and Kubernetes' components.
    pub kube: PathBuf,
    pub simulated: Simulated,
    pub operator: PathBuf,
    work: TempDir,
    _lock: File,
}

impl Machine {
    pub fn prepare() -> Result<Self> {
        end_on_signals()?;
        let folder = workspace::machine_state().join("bench");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join(".lock");
        let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        if lock.try_lock().is_err() {
            bail!("another benchmark is under way on this machine");
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(WORK_PREFIX) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let work = tempfile::Builder::new()
            .prefix(WORK_PREFIX)
            .tempdir_in(&folder)
            .with_context(|| format!("cannot make a folder in {}", folder.display()))?;
        Ok(Self {
            kube: local_cluster::binaries()?.kube,
            simulated: local_cluster::simulated()?,
            operator: compile(work.path())?,
            work,
            _lock: lock,
        })
    }

    /// A folder that is removed at the end.
    pub fn work(&self) -> &Path {
        self.work.path()
    }
}

/// The operator as its sources are now; a copy, so that a build meanwhile does not change it.
fn compile(work: &Path) -> Result<PathBuf> {
    let step = Step::begin("compile the operator");
    command::run(command::cargo().args(["build", "--release", "--locked", "--workspace", "--bins"]))?;
    let (built, copy) = (
        workspace::binaries().join("rates-operator"),
        work.join("rates-operator"),
    );
    fs::copy(&built, &copy).with_context(|| format!("cannot copy {}", built.display()))?;
    step.done();
    Ok(copy)
}

/// A process that is killed when this is dropped.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program that also ends when this process is killed. Its output goes to a file.
    pub fn start(
        name: &str,
        program: &Path,
        arguments: &[String],
        env: &[(&str, &str)],
        folder: &Path,
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(arguments)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("cannot share a file")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails, with the end of its log, if it has ended.
    pub fn alive(&mut self) -> Result<()> {
        match self.child.try_wait().context("cannot ask for a process")? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}: {}", self.name, self.tail()),
        }
    }

    /// Waits for its end, and fails if it failed.
    pub fn finish(&mut self) -> Result<()> {
        loop {
            match self.child.try_wait().context("cannot ask for a process")? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{} ended with {status}: {}", self.name, self.tail()),
                None => pause(20)?,
            }
        }
    }

    /// Asks it to end, as Kubernetes does, and waits for that.
    pub fn terminate(mut self) -> Result<()> {
        let id = i32::try_from(self.child.id()).context("a process id that is none")?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM)?;
        self.finish()
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits some milliseconds; fails when somebody asked for the end, so that all is taken down.
pub fn pause(milliseconds: u64) -> Result<()> {
    std::thread::sleep(Duration::from_millis(milliseconds));
    if INTERRUPTED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

fn end_on_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return;
            };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            INTERRUPTED.store(true, Ordering::Relaxed);
        });
    });
    Ok(())
}
