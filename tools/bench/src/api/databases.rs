//! The databases that are measured: the dump's three tables, as they were and as the service has them.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::copy::copy;
use super::data::{self, Prices};
use super::format::binary;
use super::machine::Machine;
use super::plan::Seed;
use super::postgres::{LOGIN, OWNER, Server, Session};
use super::service::{self, Service};
use host::terminal::Step;

const TABLES: &str = include_str!("sql/tables.sql");
const FOREIGN_KEYS: &str = "
    ALTER TABLE prices
        ADD CONSTRAINT prices_dest_code_fkey FOREIGN KEY (dest_code) REFERENCES ports (code),
        ADD CONSTRAINT prices_orig_code_fkey FOREIGN KEY (orig_code) REFERENCES ports (code)";

/// Of the prices that are there before anything is measured.
const SEED: u64 = 2021;

/// A server and its databases.
pub struct Databases {
    server: Server,
    rates_api: Box<Path>,
    work: Box<Path>,
}

impl Databases {
    pub async fn start(machine: &Machine) -> Result<Self> {
        let step = Step::begin("start PostgreSQL 13.5");
        let server = Server::start(&machine.postgres, &machine.work().join("postgres")).await?;
        step.done();
        Ok(Self {
            server,
            rates_api: machine.rates_api.as_path().into(),
            work: machine.work().into(),
        })
    }

    pub async fn session(&self, database: &str) -> Result<Session> {
        self.server.session(database).await
    }

    /// Where pgbench finds a database.
    pub fn target<'a>(&self, database: &'a str) -> super::pgbench::Target<'a> {
        super::pgbench::Target {
            port: self.server.port,
            user: LOGIN,
            database,
        }
    }

    /// The service, ready, on a database of its form.
    pub async fn serve(&self, database: &str) -> Result<Service> {
        Service::start(&self.rates_api, &self.server.uri(database), &self.work).await
    }

    /// Writes everything to the disk, so that what is measured next does not pay for what was before.
    pub async fn checkpoint(&self) -> Result<()> {
        let session = self.session("postgres").await?;
        session
            .batch_execute("CHECKPOINT")
            .await
            .context("cannot write a checkpoint")
    }

    /// The name of a database with the original tables and such prices, made where it is not there yet.
    pub async fn original(&self, seed: Seed) -> Result<String> {
        let name = name("original", seed);
        if self.exists(&name).await? {
            return Ok(name);
        }
        self.create(&name, "template0").await?;
        let session = self.session(&name).await?;
        session.batch_execute(&format!("SET ROLE {OWNER}")).await?;
        session
            .batch_execute(&format!("{TABLES}{}", ports()))
            .await
            .context("cannot make the original tables")?;
        let prices = Prices::new(SEED, seed.prices).over(seed.days);
        copy(&session, "prices", &binary(prices), seed.prices).await?;
        session
            .batch_execute(FOREIGN_KEYS)
            .await
            .context("cannot add the foreign keys")?;
        tidy(&session).await?;
        Ok(name)
    }

    /// The name of a database as the service has it, made from the original one where it is not there yet.
    pub async fn served(&self, seed: Seed) -> Result<String> {
        let name = name("served", seed);
        if self.exists(&name).await? {
            return Ok(name);
        }
        let original = self.original(seed).await?;
        self.create(&name, &original).await?;
        service::migrate(&self.rates_api, &self.server.uri(&name)).await?;
        tidy(&self.session(&name).await?).await?;
        Ok(name)
    }

    /// A new database that is like another one.
    pub async fn create(&self, name: &str, template: &str) -> Result<()> {
        let statement = format!("CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template}");
        let session = self.session("postgres").await?;
        session
            .batch_execute(&statement)
            .await
            .with_context(|| format!("cannot create database {name}"))
    }

    /// Removes a database, whoever is connected to it.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let session = self.session("postgres").await?;
        session
            .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
            .await
            .with_context(|| format!("cannot remove database {name}"))
    }

    async fn exists(&self, name: &str) -> Result<bool> {
        let session = self.session("postgres").await?;
        let found = session
            .query("SELECT FROM pg_database WHERE datname = $1", &[&name])
            .await?;
        Ok(!found.is_empty())
    }
}

/// Leaves nothing for the server to do by itself later.
pub async fn tidy(session: &Session) -> Result<()> {
    // Each alone: VACUUM cannot be in a transaction, which two statements at once are.
    for statement in ["RESET ROLE", "VACUUM ANALYZE"] {
        session
            .batch_execute(statement)
            .await
            .context("cannot tidy a database")?;
    }
    Ok(())
}

fn name(kind: &str, seed: Seed) -> String {
    format!("{kind}_{}_{}", seed.prices, seed.days)
}

fn ports() -> String {
    let mut statements = String::new();
    for code in data::codes() {
        // Writing into a string cannot fail.
        let _ = writeln!(
            statements,
            "INSERT INTO ports VALUES ('{code}', 'Port {code}', 'sea');"
        );
    }
    statements
}
