//! `GET /rates` of 31 days, HTTP and JSON included, against what pgbench reaches with SQL alone, and hyper with such an
//! answer alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::bare::Bare;
use super::data;
use super::databases::{Databases, tidy};
use super::http::{Connection, rates};
use super::latency::{count, median, median_of};
use super::load::{Reached, Requests, closed};
use super::machine::Machine;
use super::pgbench::{script, with_names};
use super::plan::{Plan, Seed};
use super::service::Service;
use host::terminal::Step;
use host::workspace;

/// What the original service asked its database.
const ORIGINAL: &str = include_str!("sql/original.sql");
/// What this one asks, in the clone.
const OWN: &str = "rates-api/src/rates/days.sql";

const INDEX: &str = "CREATE INDEX prices_by_pair_and_day ON prices (orig_code, dest_code, day)";

/// Pairs whose answers are compared with what the original tables hold.
const COMPARED: usize = 10;

/// By what is in the database. Rates are requests or transactions a second.
#[derive(Debug, Serialize)]
pub struct Size {
    pub seed: Seed,
    /// The original service's query, with the tables as they were.
    pub original: f64,
    /// The same with an index.
    pub original_indexed: f64,
    /// This service's query.
    pub own_query: f64,
    pub api: Api,
    /// hyper with one of the answers.
    pub bare: Http,
}

/// This service.
#[derive(Debug, Serialize)]
pub struct Api {
    #[serde(flatten)]
    pub http: Http,
    pub peak_mib: f64,
    /// What the load generator took of one processor meanwhile.
    pub load_generator_processor: f64,
}

/// A server of HTTP.
#[derive(Debug, Serialize)]
pub struct Http {
    pub per_second: f64,
    /// In milliseconds, with all connections busy.
    pub p50: f64,
    pub p99: f64,
    /// What the server's process takes of a processor for an answer, in microseconds.
    pub processor_us: f64,
}

/// A run of reads.
struct Run {
    reached: Reached,
    processor_us: f64,
}

impl Run {
    fn new(reached: Reached, processor: Duration) -> Self {
        let processor_us = processor.as_secs_f64() * 1e6 / count(reached.latency.count);
        Self {
            reached,
            processor_us,
        }
    }
}

impl Http {
    /// The medians.
    fn of(runs: &[Run]) -> Self {
        Self {
            per_second: median_of(runs, |run| run.reached.per_second),
            p50: median_of(runs, |run| run.reached.latency.p50),
            p99: median_of(runs, |run| run.reached.latency.p99),
            processor_us: median_of(runs, |run| run.processor_us),
        }
    }
}

struct Scripts {
    original: PathBuf,
    own: PathBuf,
}

/// A size under way.
struct Subject {
    seed: Seed,
    original: String,
    served: String,
    service: Service,
    bare: Bare,
    runs: BTreeMap<&'static str, Vec<f64>>,
    of_service: Vec<Run>,
    of_bare: Vec<Run>,
}

/// Measures all sizes in turn, so that what the machine does beside it hits all alike.
pub async fn measure(machine: &Machine, databases: &Databases, plan: &Plan) -> Result<Vec<Size>> {
    let scripts = Scripts::write(machine)?;
    let requests = Requests::all();
    let mut subjects = Vec::new();
    for seed in std::iter::once(plan.real).chain(plan.large) {
        subjects.push(Subject::prepare(machine, databases, seed).await?);
    }
    let step = Step::begin("reads without an index");
    for _ in 0..plan.runs {
        for subject in &mut subjects {
            subject
                .pgbench(machine, databases, plan, "without", &scripts.original)
                .await?;
        }
    }
    step.done();
    for subject in &subjects {
        let session = databases.session(&subject.original).await?;
        session
            .batch_execute(INDEX)
            .await
            .context("cannot make the index")?;
        tidy(&session).await?;
    }
    databases.checkpoint().await?;
    let step = Step::begin("reads");
    for _ in 0..plan.runs {
        for subject in &mut subjects {
            subject
                .pgbench(machine, databases, plan, "with", &scripts.original)
                .await?;
            subject
                .pgbench(machine, databases, plan, "own", &scripts.own)
                .await?;
            subject.http(plan, &requests).await?;
        }
    }
    step.done();
    subjects.iter().map(Subject::size).collect()
}

impl Scripts {
    fn write(machine: &Machine) -> Result<Self> {
        let own = workspace::root().join(OWN);
        let own = fs::read_to_string(&own).with_context(|| format!("cannot read {}", own.display()))?;
        let write = |name: &str, query: &str| {
            let path = machine.work().join(name);
            fs::write(&path, script(query)).with_context(|| format!("cannot write {}", path.display()))?;
            anyhow::Ok(path)
        };
        Ok(Self {
            original: write("original.sql", ORIGINAL)?,
            own: write("own.sql", &with_names(&own))?,
        })
    }
}

impl Subject {
    async fn prepare(machine: &Machine, databases: &Databases, seed: Seed) -> Result<Self> {
        let step = Step::begin(format_args!(
            "a database with {} prices of {} days",
            seed.prices, seed.days
        ));
        let original = databases.original(seed).await?;
        let served = databases.served(seed).await?;
        let service = databases.serve(&served).await?;
        let content = compare(databases, &original, &service).await?;
        let bare = Bare::start(&machine.bare_hyper, &content, machine.work()).await?;
        step.done();
        Ok(Self {
            seed,
            original,
            served,
            service,
            bare,
            runs: BTreeMap::new(),
            of_service: Vec::new(),
            of_bare: Vec::new(),
        })
    }

    /// One run of a script, on the database that it is for.
    async fn pgbench(
        &mut self,
        machine: &Machine,
        databases: &Databases,
        plan: &Plan,
        name: &'static str,
        script: &Path,
    ) -> Result<()> {
        let database = if name == "own" {
            &self.served
        } else {
            &self.original
        };
        let rate = machine
            .pgbench
            .run(&databases.target(database), script, plan)
            .await?;
        self.runs.entry(name).or_default().push(rate);
        Ok(())
    }

    /// One run of reads of the service, and one of the bare server.
    async fn http(&mut self, plan: &Plan, requests: &Arc<Requests>) -> Result<()> {
        let length = Duration::from_secs(plan.seconds.into());
        let before = self.service.processor()?;
        let reached = closed(self.service.address, plan.connections, length, requests).await?;
        self.of_service.push(Run::new(
            reached,
            self.service.processor()?.saturating_sub(before),
        ));
        let before = self.bare.processor()?;
        let reached = closed(self.bare.address, plan.connections, length, requests).await?;
        self.of_bare
            .push(Run::new(reached, self.bare.processor()?.saturating_sub(before)));
        Ok(())
    }

    fn size(&self) -> Result<Size> {
        let rate = |name: &str| self.runs.get(name).map_or(0.0, |runs| median(runs));
        Ok(Size {
            seed: self.seed,
            original: rate("without"),
            original_indexed: rate("with"),
            own_query: rate("own"),
            api: Api {
                http: Http::of(&self.of_service),
                peak_mib: self.service.peak()?,
                load_generator_processor: median_of(&self.of_service, |run| run.reached.own_processor),
            },
            bare: Http::of(&self.of_bare),
        })
    }
}

#[derive(Deserialize)]
struct Answer {
    rates: Vec<Rate>,
}

#[derive(Deserialize)]
struct Rate {
    count: Option<i64>,
}

/// Answers that come quickly but are wrong would be worth nothing. Gives the content of one.
async fn compare(databases: &Databases, original: &str, service: &Service) -> Result<Vec<u8>> {
    let session = databases.session(original).await?;
    let statement = format!(
        "SELECT count(*) FROM prices WHERE orig_code = $1 AND dest_code = $2 AND day BETWEEN '{}' AND '{}'",
        data::FIRST_DAY,
        data::LAST_DAY
    );
    let mut connection = Connection::open(service.address).await?;
    let mut content = Vec::new();
    for (origin, destination) in data::pairs().step_by(data::pairs().count() / COMPARED) {
        let codes = [origin.to_string(), destination.to_string()];
        let expected: i64 = session
            .query_one(&statement, &[&codes[0], &codes[1]])
            .await
            .context("cannot count prices")?
            .get(0);
        let body = connection.get(&rates(origin, destination)).await?;
        let answer: Answer = serde_json::from_slice(body).context("an answer is not as expected")?;
        let found: i64 = answer.rates.iter().filter_map(|rate| rate.count).sum();
        let days = i32::try_from(answer.rates.len());
        if found != expected || days != Ok(data::DAYS) {
            bail!("of {origin} to {destination} there are {expected} prices, and the service says {found}");
        }
        content = body.to_vec();
    }
    Ok(content)
}
