//! The programs of the Go modules in `tools/local-cluster/programs/`: built once for all clones, by a hash of their sources.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use super::plan::short;
use super::state;
use host::terminal::{Progress, note};
use host::{command, lock, workspace};

/// What the programs report as their version, as a release build of Kubernetes does.
const KUBERNETES: (&str, &str, &str) = ("v1.36.3", "1", "36");

/// A Go module and what is built from it.
struct Module {
    /// Where it is in the clone.
    sources: &'static str,
    /// Where its programs are, of all versions that are kept, in what outlives a clone.
    programs_in: &'static str,
    name: &'static str,
    takes: &'static str,
    /// The packages that are built.
    packages: &'static [&'static str],
}

/// What a cluster runs.
const CLUSTER: Module = Module {
    sources: "tools/local-cluster/programs",
    programs_in: "bin",
    name: "Kubernetes",
    takes: "about 12 minutes on two cores the first time",
    packages: &[
        "./kube",
        "./kubectl",
        "./coredns",
        "./metrics-server",
        "./provisioner",
    ],
};

/// Of the tests alone, so that `up` does not wait for it. It needs the same Kubernetes libraries as
/// kubectl, of the same versions, which are compiled once for both.
const HELM: Module = Module {
    sources: "tools/local-cluster/programs/helm",
    programs_in: "helm",
    name: "Helm",
    takes: "about a minute on two cores the first time",
    packages: &["helm.sh/helm/v4/cmd/helm"],
};

/// Of the operator's benchmark alone: kwok, which plays kubelets, and a kubectl that is not held back.
const SIMULATED: Module = Module {
    sources: "tools/local-cluster/programs/simulated",
    programs_in: "simulated",
    name: "kwok",
    takes: "some minutes on two cores the first time",
    packages: &["./kwok", "./kubectl"],
};

/// What a folder is called while its programs are built.
const UNFINISHED: &str = "unfinished";

/// How many builds are kept beside those that clusters use: other clones may be at other commits.
const KEPT: usize = 3;

/// Where each program is.
#[derive(Clone, Debug)]
pub struct KubeBinaries {
    /// The folder that holds them all, `kubectl` among them.
    pub folder: PathBuf,
    pub kube: PathBuf,
    pub kubectl: PathBuf,
    pub coredns: PathBuf,
    pub metrics_server: PathBuf,
    pub provisioner: PathBuf,
}

impl KubeBinaries {
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            kube: folder.join("kube"),
            kubectl: folder.join("kubectl"),
            coredns: folder.join("coredns"),
            metrics_server: folder.join("metrics-server"),
            provisioner: folder.join("provisioner"),
        }
    }
}

/// The cluster's programs, built unless a clone has built the same ones before.
pub fn binaries() -> Result<KubeBinaries> {
    Ok(KubeBinaries::in_folder(&CLUSTER.built()?))
}

/// Helm, likewise.
pub fn helm() -> Result<PathBuf> {
    Ok(HELM.built()?.join("helm"))
}

/// The programs of the operator's benchmark.
#[derive(Clone, Debug)]
pub struct Simulated {
    pub kwok: PathBuf,
    pub kubectl: PathBuf,
}

/// They, likewise.
pub fn simulated() -> Result<Simulated> {
    let folder = SIMULATED.built()?;
    Ok(Simulated {
        kwok: folder.join("kwok"),
        kubectl: folder.join("kubectl"),
    })
}

/// `go vet` of the programs that are written here, with the flags of their build, whose results it uses.
pub fn vet() -> Result<()> {
    for module in [CLUSTER, SIMULATED] {
        command::run(go(&workspace::root().join(module.sources)).args(["vet", "-trimpath", "./..."]))?;
    }
    Ok(())
}

impl Module {
    /// The folder of its programs.
    fn built(&self) -> Result<PathBuf> {
        let sources = workspace::root().join(self.sources);
        let all = Path::new(state::ROOT).join(self.programs_in);
        let folder = all.join(self.hash(&sources)?);
        if !folder.is_dir() {
            // Two clones that build at once take turns; the second may find its programs built by the first.
            let _lock = hold_builds()?;
            if !folder.is_dir() {
                self.build(&sources, &folder)?;
            }
            prune(&all)?;
        }
        // The time of the last use decides what is kept.
        File::open(&folder)
            .and_then(|opened| opened.set_modified(SystemTime::now()))
            .with_context(|| format!("cannot touch {}", folder.display()))?;
        Ok(folder)
    }

    fn build(&self, sources: &Path, folder: &Path) -> Result<()> {
        let unfinished = folder.with_extension(UNFINISHED);
        fs::create_dir_all(&unfinished).with_context(|| format!("cannot make {}", unfinished.display()))?;
        note(format_args!("building {} from source: {}", self.name, self.takes));
        command::run(go(sources).args(["mod", "download"])).context("cannot fetch the Go modules")?;
        let listed = command::output(go(sources).args(["list", "-deps"]).args(self.packages))?;
        let progress = Progress::begin(format_args!("compile {}", self.name), listed.lines().count());
        compile(sources, self.packages, &unfinished, &progress)?;
        progress.done();
        fs::rename(&unfinished, folder).with_context(|| format!("cannot finish {}", folder.display()))
    }

    /// A hash of all that the programs are made from.
    fn hash(&self, sources: &Path) -> Result<String> {
        let mut hash = Sha256::new();
        let compiler = command::output(
            Command::new("go")
                .args(["env", "GOVERSION", "GOARCH"])
                .env("GOTOOLCHAIN", "local"),
        )
        .context("cannot ask go for its version")?;
        hash.update(compiler);
        hash.update(linker_flags());
        hash.update(self.packages.join(" "));
        let mut files = Vec::new();
        collect(sources, &mut files)?;
        files.sort();
        for file in files {
            hash.update(
                file.strip_prefix(sources)
                    .unwrap_or(&file)
                    .as_os_str()
                    .as_encoded_bytes(),
            );
            hash.update([0]);
            hash.update(fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
            hash.update([0]);
        }
        Ok(short(hash))
    }
}

/// One build at a time on a machine, whichever clone it is of.
pub fn hold_builds() -> Result<File> {
    lock::hold(
        &Path::new(state::ROOT).join("locks/programs"),
        "another build of Kubernetes on this machine",
    )
}

/// Compiles some of the programs into the folder.
fn compile(sources: &Path, programs: &[&str], folder: &Path, progress: &Progress) -> Result<()> {
    let mut child = go(sources)
        .args(["build", "-v", "-trimpath"])
        .arg(format!("-ldflags={}", linker_flags()))
        .arg("-o")
        // The slash makes it a folder also for a single program.
        .arg(format!("{}/", folder.display()))
        .args(programs)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start go")?;
    let mut other = Vec::new();
    if let Some(output) = child.stderr.take() {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Each compiled package is one line of its path; anything else is an error's text.
            if line.contains(' ') || line.starts_with('#') {
                other.push(line);
            } else {
                progress.advance();
            }
        }
    }
    let status = child.wait().context("cannot wait for go")?;
    if !status.success() {
        bail!(
            "the Go programs in {} do not build: {}",
            sources.display(),
            other.join("\n")
        );
    }
    Ok(())
}

fn go(sources: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(sources)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "")
        .env("GOTOOLCHAIN", "local");
    command
}

fn linker_flags() -> String {
    let (version, major, minor) = KUBERNETES;
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor} \
         -X {package}.gitTreeState=clean"
    )
}

/// The files of a module; a folder with a module of its own is none of it.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !path.join("go.mod").exists() {
                collect(&path, files)?;
            }
        } else if name == "go.mod" || name == "go.sum" || name.ends_with(".go") {
            files.push(path);
        }
    }
    Ok(())
}

/// Removes what was built and is in no use: neither by a cluster nor lately by a clone.
fn prune(all: &Path) -> Result<()> {
    let used: Vec<PathBuf> = state::CLUSTERS
        .iter()
        .filter_map(|name| Some(state::State::of(name).record()?.programs))
        .collect();
    let mut finished = Vec::new();
    for entry in fs::read_dir(all).with_context(|| format!("cannot list {}", all.display()))? {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == UNFINISHED) {
            // Of a build that was cut off: no other is under way, as this one has the lock.
            remove(&path)?;
        } else if !used.contains(&path) {
            finished.push((entry.metadata()?.modified()?, path));
        }
    }
    finished.sort();
    let surplus = finished.len().saturating_sub(KEPT);
    finished
        .iter()
        .take(surplus)
        .try_for_each(|(_, path)| remove(path))
}

fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}
