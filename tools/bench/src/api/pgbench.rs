//! pgbench: PostgreSQL's own load generator, which the exact server comes without.
//!
//! It is in Debian's package of the server. That package is unpacked and not installed: no server is set up by it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use super::data;
use super::plan::Plan;
use host::unpacked::Unpacked;

/// Of Debian 12: the server with pgbench, and the library that it needs.
const PACKAGES: Unpacked = Unpacked {
    name: "pgbench-15",
    packages: &["postgresql-15", "libpq5"],
    program: PROGRAM,
};
const PROGRAM: &str = "usr/lib/postgresql/15/bin/pgbench";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

pub struct Pgbench {
    /// What the packages hold.
    unpacked: PathBuf,
}

/// A server's database.
pub struct Target<'a> {
    pub port: u16,
    pub user: &'a str,
    pub database: &'a str,
}

impl Pgbench {
    /// Finds it, or fetches it.
    pub fn find() -> Result<Self> {
        Ok(Self {
            unpacked: PACKAGES.folder()?,
        })
    }

    /// Transactions per second of a script, without the time to connect.
    pub async fn run(&self, target: &Target<'_>, script: &Path, plan: &Plan) -> Result<f64> {
        let mut pgbench = tokio::process::Command::new(self.unpacked.join(PROGRAM));
        pgbench
            .args([
                "--no-vacuum",
                "--protocol=prepared",
                "--random-seed=1",
                "--jobs=2",
            ])
            .arg(format!("--client={}", plan.connections))
            .arg(format!("--time={}", plan.seconds))
            .args(["--host=127.0.0.1", &format!("--port={}", target.port)])
            .arg(format!("--username={}", target.user))
            .arg(format!("--define=first={}", data::FIRST_DAY))
            .arg(format!("--define=last={}", data::LAST_DAY))
            .arg("--file")
            .arg(script)
            .arg(target.database)
            .env("LD_LIBRARY_PATH", self.unpacked.join(LIBRARIES))
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = pgbench.output().await.context("cannot start pgbench")?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!(
                "pgbench ended with {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        per_second(&said).with_context(|| format!("pgbench did not say how fast it was: {}", said.trim()))
    }
}

/// What pgbench says at its end. Transactions that failed make it worthless.
fn per_second(said: &str) -> Option<f64> {
    let value = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()
    };
    let failed = value("number of failed transactions:").is_some_and(|count| count != "0");
    let rate = value("tps =")?.parse().ok()?;
    (!failed).then_some(rate)
}

/// A script that draws a pair and runs the query, which names it `:origin` and `:destination`, and the first and last
/// day `:first` and `:last`.
pub fn script(query: &str) -> String {
    let [origins, destinations] = data::ports();
    format!(
        "\\set origin random({}, {})\n\\set destination random({}, {})\n{};\n",
        origins.0,
        origins.1,
        destinations.0,
        destinations.1,
        query.trim_end().trim_end_matches(';')
    )
}

/// A query of the service in pgbench's form.
pub fn with_names(query: &str) -> String {
    ["origin", "destination", "first", "last"]
        .iter()
        .zip(1..)
        .fold(query.to_owned(), |query, (name, number)| {
            query.replace(&format!("${number}"), &format!(":{name}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "pgbench (15.18)\n\
        transaction type: original.sql\n\
        number of transactions actually processed: 54660\n\
        number of failed transactions: 0 (0.000%)\n\
        latency average = 1.464 ms\n\
        initial connection time = 24.5 ms\n\
        tps = 10931.640321 (without initial connection time)\n";

    #[test]
    fn the_rate_is_read_from_what_pgbench_says() {
        let rate = per_second(SAID).unwrap();
        assert!((rate - 10_931.640_321).abs() < 1e-9, "{rate}");
    }

    #[test]
    fn a_run_with_failures_has_no_rate() {
        assert_eq!(
            per_second(&SAID.replace("failed transactions: 0", "failed transactions: 3")),
            None
        );
        assert_eq!(per_second("pgbench: error: connection failed"), None);
    }

    #[test]
    fn a_script_draws_every_pair_and_has_one_statement() {
        let script = script("SELECT 1;\n");
        assert_eq!(
            script,
            "\\set origin random(10000, 10024)\n\\set destination random(10025, 10053)\nSELECT 1;\n"
        );
    }

    #[test]
    fn parameters_become_names() {
        assert_eq!(
            with_names("a = $1 AND b = $2 AND c BETWEEN $3 AND $4 AND d = $1"),
            "a = :origin AND b = :destination AND c BETWEEN :first AND :last AND d = :origin"
        );
    }
}
