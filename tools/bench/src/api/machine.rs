//! What is measured with on this machine: programs, and a folder of its own on a real disk.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::pgbench::Pgbench;
use host::terminal::Step;
use host::{command, workspace};

/// How the names of folders begin that a run leaves only when it is killed.
const WORK_PREFIX: &str = "run-";

const RATES_API: &str = "rates-api";
const BARE_HYPER: &str = "bare_hyper";

pub struct Machine {
    /// PostgreSQL's installation.
    pub postgres: PathBuf,
    pub pgbench: Pgbench,
    pub rates_api: PathBuf,
    /// hyper with one answer, built as the service is.
    pub bare_hyper: PathBuf,
    work: TempDir,
    _lock: File,
}

impl Machine {
    pub fn prepare() -> Result<Self> {
        let folder = workspace::machine_state().join("bench");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock = lock(&folder)?;
        clear(&folder)?;
        // Not in a folder for temporary files: that may be memory, and `fsync` is to cost what it costs.
        let work = tempfile::Builder::new()
            .prefix(WORK_PREFIX)
            .tempdir_in(&folder)
            .with_context(|| format!("cannot make a folder in {}", folder.display()))?;
        // The server runs as another user, who must get through to its data.
        for folder in [&workspace::machine_state(), &folder, work.path()] {
            let_through(folder).with_context(|| format!("cannot change the mode of {}", folder.display()))?;
        }
        let [rates_api, bare_hyper] = compile(work.path())?;
        Ok(Self {
            postgres: images::postgres_for_tests()?,
            pgbench: Pgbench::find()?,
            rates_api,
            bare_hyper,
            work,
            _lock: lock,
        })
    }

    /// A folder that is removed at the end.
    pub fn work(&self) -> &Path {
        self.work.path()
    }
}

/// Every user may pass, and see no more than before.
fn let_through(folder: &Path) -> io::Result<()> {
    let mode = fs::metadata(folder)?.permissions().mode();
    fs::set_permissions(folder, Permissions::from_mode(mode | 0o111))
}

/// One run at a time: two would measure each other.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!("another benchmark is under way on this machine");
    }
    Ok(file)
}

/// Removes what killed runs left.
fn clear(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(WORK_PREFIX) {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// The service as its sources are now, built as its image's is, and what it is compared with; copies, so that a build
/// meanwhile does not change them.
fn compile(work: &Path) -> Result<[PathBuf; 2]> {
    let step = Step::begin("compile the API");
    command::run(command::cargo().args([
        "build",
        "--release",
        "--locked",
        "--workspace",
        "--bins",
        "--example",
        BARE_HYPER,
    ]))?;
    let copy = |built: PathBuf, name: &str| {
        let copy = work.join(name);
        fs::copy(&built, &copy).with_context(|| format!("cannot copy {}", built.display()))?;
        anyhow::Ok(copy)
    };
    let binaries = workspace::binaries();
    let copies = [
        copy(binaries.join(RATES_API), RATES_API)?,
        copy(binaries.join("examples").join(BARE_HYPER), BARE_HYPER)?,
    ];
    step.done();
    Ok(copies)
}
