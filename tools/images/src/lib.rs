//! The images: what each is made of, its content hash, and how it is built.
//!
//! An image's tag is a hash of everything that goes into it, so an unchanged
//! image is not built again and a changed one is never mistaken for the old one.

mod base;
mod buildah;
mod cache;
mod debian;
mod digest;
mod image;
mod package;
mod recipe;
mod reproducible;
mod server;
mod wheel;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use self::buildah::Storage;
use self::cache::{archives, begin_build, mark_used, prune, work_folder};
use self::recipe::Recipe;
use host::terminal::Step;
use host::workspace;

pub use self::cache::hold_builds;
pub use self::image::{Image, StandIn};

/// Debian's packages with the programs that this module runs.
pub const PACKAGES: &[&str] = &[
    "buildah",
    "curl",
    "debian-archive-keyring",
    "maven",
    "mmdebstrap",
    "openssl",
    "python3",
    "python3-pip",
    "tar",
    "unzip",
    "util-linux",
    "xz-utils",
];

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
    let built = build(&[Image::Postgres13, Image::Postgres17, Image::Exporter])?;
    let exporter = built.iter().find(|built| built.image == Image::Exporter);
    let exporter = exporter
        .context("the exporter's image was not built")?
        .archive
        .clone();
    let versions: Vec<_> = built
        .iter()
        .filter_map(|built| Some((built.image.postgres_version()?, built.archive.clone())))
        .collect();
    let images: Vec<_> = versions
        .iter()
        .map(|(version, archive)| format!("{version}={}", archive.display()))
        .collect();
    let command = |class: &str, part: &str| {
        let mut tests = Command::new(workspace::root().join("images/postgres/tests/run"));
        tests
            .arg(class)
            .env("RATES_TEST_PART", part)
            .env("RATES_TEST_POSTGRES_IMAGES", images.join(","))
            .env("RATES_TEST_EXPORTER_IMAGE", &exporter)
            .env("RATES_TEST_KUBE", kube)
            .env("RATES_TEST_KUBECTL", kubectl);
        tests
    };
    let mut all = Vec::new();
    for (version, _) in &versions {
        let major = version.split('.').next().unwrap_or(version);
        // Most of those of three pods do not depend on the version: they run for this one alone.
        let of_three = if major == "13" { POD_TEST_PARTS } else { 1 };
        let parts = [("Postgres", POD_TEST_PARTS), ("Instances", of_three)]
            .into_iter()
            .flat_map(|(class, parts)| (1..=parts).map(move |number| (class, format!("{number}/{parts}"))));
        for (class, part) in parts {
            let tests = command(&format!("{class}{major}"), &part);
            all.push((format!("PostgreSQL {version} {class} {part}"), tests));
        }
    }
    // Those of two environments have both versions.
    all.push(("PostgreSQL Shares".to_owned(), command("Shares", "1/1")));
    Ok(all)
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
