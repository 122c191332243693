//! The images: what each is made of, its content hash, and how it is built.
//!
//! An image's tag is a hash of everything that goes into it, so an unchanged
//! image is not built again and a changed one is never mistaken for the old one.

mod base;
mod buildah;
mod debian;
mod digest;
mod recipe;
mod server;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use self::buildah::Storage;
use self::recipe::Recipe;
use host::terminal::Step;
use host::{lock, workspace};

/// Debian's packages with the programs that this module runs.
pub const PACKAGES: &[&str] = &[
    "buildah",
    "curl",
    "debian-archive-keyring",
    "maven",
    "mmdebstrap",
    "openssl",
    "python3",
    "tar",
    "unzip",
    "util-linux",
    "xz-utils",
];

/// How the names of folders begin that are of no use once their build has ended.
const WORK_PREFIX: &str = "work-";

/// The time of everything that is made here, in seconds since 1970 (2026-11-01): with the time of the day, the same base
/// would be another one on every machine, and so would all that is made on it. See reproducible-builds.org.
const SOURCE_DATE_EPOCH: &str = "1793491200";

/// How many archives of one image are kept: other clones may be at other commits.
const ARCHIVES_KEPT: usize = 3;

/// An image of this project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Image {
    Operator,
    Api,
    Pause,
    Postgres13,
    Postgres17,
    /// Releases of the API that do not exist, for tests.
    #[value(skip)]
    StandIn(StandIn),
}

/// What a stand-in for a release of the API does; see `e2e/src/bin/stand_in.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandIn {
    /// As the API, in an image of another name.
    Plain,
    /// The same with a migration.
    Next,
    /// Starts late.
    Slow,
    Crashes,
    Hangs,
    MigrationFails,
}

impl StandIn {
    pub const ALL: [Self; 6] = [
        Self::Plain,
        Self::Next,
        Self::Slow,
        Self::Crashes,
        Self::Hangs,
        Self::MigrationFails,
    ];

    /// The name by which the image's program knows it.
    #[must_use]
    pub fn mode(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Next => "next",
            Self::Slow => "slow",
            Self::Crashes => "crashes",
            Self::Hangs => "hangs",
            Self::MigrationFails => "migration-fails",
        }
    }
}

impl Image {
    pub const ALL: [Self; 5] = [
        Self::Pause,
        Self::Operator,
        Self::Api,
        Self::Postgres13,
        Self::Postgres17,
    ];

    /// The image's name without its tag.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "localhost/rates-operator",
            Self::Api => "localhost/rates-api",
            Self::Pause => "localhost/rates-pause",
            Self::Postgres13 => "localhost/rates-postgres-13.5",
            Self::Postgres17 => "localhost/rates-postgres-17",
            Self::StandIn(StandIn::Plain) => "localhost/rates-api-plain",
            Self::StandIn(StandIn::Next) => "localhost/rates-api-next",
            Self::StandIn(StandIn::Slow) => "localhost/rates-api-slow",
            Self::StandIn(StandIn::Crashes) => "localhost/rates-api-crashes",
            Self::StandIn(StandIn::Hangs) => "localhost/rates-api-hangs",
            Self::StandIn(StandIn::MigrationFails) => "localhost/rates-api-migration-fails",
        }
    }

    /// The value of `spec.database.version` that selects this image.
    #[must_use]
    pub fn postgres_version(self) -> Option<&'static str> {
        match self {
            Self::Postgres13 => Some("13.5"),
            Self::Postgres17 => Some("17"),
            Self::Operator | Self::Api | Self::Pause | Self::StandIn(_) => None,
        }
    }

    fn archive_stem(self) -> &'static str {
        self.name().trim_start_matches("localhost/")
    }
}

/// An image that is there, as an archive that container runtimes import.
#[derive(Clone, Debug)]
pub struct Built {
    pub image: Image,
    /// `localhost/NAME:HASH`
    pub reference: String,
    pub archive: PathBuf,
}

#[derive(clap::Args)]
pub struct Arguments {
    /// The images to build; all of them when none is named
    images: Vec<Image>,
}

/// Builds images and prints their references and archives.
pub fn run(arguments: &Arguments) -> Result<()> {
    let wanted = if arguments.images.is_empty() {
        &Image::ALL[..]
    } else {
        &arguments.images
    };
    for built in build(wanted)? {
        println!("{}\t{}", built.reference, built.archive.display());
    }
    Ok(())
}

/// Gives the images, building those that this machine does not have yet. The
/// binaries that go into them are taken from the target folder as they are.
pub fn build(wanted: &[Image]) -> Result<Vec<Built>> {
    let _lock = begin_build()?;
    wanted.iter().map(|image| build_one(*image)).collect()
}

/// The stand-ins for releases of the API, as `MODE=REFERENCE` separated by commas, and all of them.
pub fn stand_ins() -> Result<(String, Vec<Built>)> {
    let built = build(&StandIn::ALL.map(Image::StandIn))?;
    let names: Vec<_> = StandIn::ALL
        .iter()
        .zip(&built)
        .map(|(mode, built)| format!("{}={}", mode.mode(), built.reference))
        .collect();
    Ok((names.join(","), built))
}

/// PostgreSQL 13.5's server for tests on this machine: a folder with `bin/initdb`, `bin/pg_ctl` and `bin/postgres`.
pub fn postgres_for_tests() -> Result<PathBuf> {
    let _lock = begin_build()?;
    server::POSTGRES_13_5.unpacked()
}

/// Into how many parts the tests of one version are divided, which run side by side: they wait most of the time.
const POD_TEST_PARTS: usize = 2;

/// The tests of the database pod: its image's entry points beside a real kube-apiserver, without a kubelet.
pub fn pod_tests(kube: &Path, kubectl: &Path) -> Result<Vec<(String, Command)>> {
    let versions: Vec<_> = build(&[Image::Postgres13, Image::Postgres17])?
        .iter()
        .filter_map(|built| Some((built.image.postgres_version()?, built.archive.clone())))
        .collect();
    let images: Vec<_> = versions
        .iter()
        .map(|(version, archive)| format!("{version}={}", archive.display()))
        .collect();
    let tests = |version: &str, number: usize| {
        let major = version.split('.').next().unwrap_or(version);
        let part = format!("{number}/{POD_TEST_PARTS}");
        let mut tests = Command::new(workspace::root().join("images/postgres/tests/run"));
        tests
            .arg(format!("Postgres{major}"))
            .env("RATES_TEST_PART", &part)
            .env("RATES_TEST_POSTGRES_IMAGES", images.join(","))
            .env("RATES_TEST_KUBE", kube)
            .env("RATES_TEST_KUBECTL", kubectl);
        (format!("PostgreSQL {version} {part}"), tests)
    };
    Ok(versions
        .iter()
        .flat_map(|(version, _)| (1..=POD_TEST_PARTS).map(move |number| tests(version, number)))
        .collect())
}

/// Where the archives are.
fn archives() -> PathBuf {
    workspace::machine_state().join("images")
}

/// What archives are made from, and is kept for the next time.
fn cache() -> PathBuf {
    workspace::machine_state().join("images-cache")
}

/// A folder for one step, beside the cache so that its files can be renamed into it.
fn work_folder() -> Result<TempDir> {
    let cache = cache();
    tempfile::Builder::new()
        .prefix(WORK_PREFIX)
        .tempdir_in(&cache)
        .with_context(|| format!("cannot create a folder in {}", cache.display()))
}

fn build_one(image: Image) -> Result<Built> {
    let folder = archives();
    let recipe = Recipe::of(image);
    let base = recipe.base.as_ref().map(base::Base::make).transpose()?;
    let tag = recipe.tag(base.as_ref().map_or("scratch", |base| &base.identity))?;
    let built = Built {
        image,
        reference: format!("{}:{tag}", image.name()),
        archive: folder.join(format!("{}-{tag}.tar", image.archive_stem())),
    };
    if !built.archive.exists() {
        let step = Step::begin(format_args!("image {}", built.reference));
        let storage = Storage::new()?;
        if let Some(base) = &base {
            storage.load(&base.archive)?;
        }
        let context = work_folder()?;
        recipe.lay_out(context.path())?;
        storage.build(context.path(), &built.reference, &recipe.arguments)?;
        let partial = built.archive.with_extension("partial");
        storage.export(&built.reference, &partial)?;
        fs::rename(&partial, &built.archive)
            .with_context(|| format!("cannot write {}", built.archive.display()))?;
        step.done();
    }
    mark_used(&built.archive)?;
    prune(&folder, image.archive_stem())?;
    Ok(built)
}

/// One build at a time on a machine, whichever clone it is of.
pub fn hold_builds() -> Result<File> {
    lock::hold(
        &archives().join(".lock"),
        "another build of images on this machine",
    )
}

/// The same, to build. What a killed build left is removed.
fn begin_build() -> Result<File> {
    let (archives, cache) = (archives(), cache());
    for folder in [&archives, &cache] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let file = hold_builds()?;
    for entry in fs::read_dir(&cache).with_context(|| format!("cannot list {}", cache.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(WORK_PREFIX) {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(file)
}

fn mark_used(archive: &Path) -> Result<()> {
    File::options()
        .append(true)
        .open(archive)
        .and_then(|file| file.set_modified(SystemTime::now()))
        .with_context(|| format!("cannot touch {}", archive.display()))
}

/// Removes the archives of an image or base that were not used for longest.
fn prune(folder: &Path, stem: &str) -> Result<()> {
    let mut archives = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_its = name
            .strip_prefix(stem)
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(|rest| rest.strip_suffix(".tar"))
            .is_some_and(|hashes| {
                hashes
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || byte == b'.')
            });
        if is_its {
            archives.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    archives.sort();
    let surplus = archives.len().saturating_sub(ARCHIVES_KEPT);
    for (_, path) in archives.drain(..surplus) {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// A program that makes files with the usual modes, whatever the caller's umask is.
fn with_usual_umask(program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 022 && exec \"$0\" \"$@\"", program]);
    command
}
