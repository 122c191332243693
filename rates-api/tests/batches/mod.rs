//! Batches: taken in as a whole or not at all, and visible to reads at once.

pub mod all;
mod asynchronous;
mod content;
mod faults;
mod idempotency;
mod interleavings;
mod refusals;
mod restarts;
mod slow;
mod writing;

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use rates_api::batches::decoder::DecodedBatch;
use rates_api::batches::tokens::{Owner, TokenDigest, Writer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::support::http::{Response, rates};
use crate::support::postgres::{Postgres, number};
use crate::support::program::Service;

pub const TOKEN: &str = "Authorization: Bearer writer-1";
pub const CSV: &str = "Content-Type: text/csv";
pub const JSON: &str = "Content-Type: application/json";
pub const NDJSON: &str = "Content-Type: application/x-ndjson";

/// The pair of the bundled seed's example, which most tests write to.
pub const ORIGIN: &str = "CNGGZ";
pub const DESTINATION: &str = "EETLL";

/// A service that takes batches in, from a database of its own.
pub struct Ingest {
    pub service: Service,
    pub database: String,
    _digests: NamedTempFile,
}

impl Ingest {
    pub async fn start(postgres: &Postgres, arguments: &[&str]) -> Self {
        let database = postgres.seeded().await;
        Self::of(postgres, database, arguments).await
    }

    /// One more service on the same database.
    pub async fn of(postgres: &Postgres, database: String, arguments: &[&str]) -> Self {
        Self::at(&postgres.uri(&database), database, arguments).await
    }

    /// One that reaches its database by that URI.
    pub async fn at(uri: &str, database: String, arguments: &[&str]) -> Self {
        let mut digests = NamedTempFile::new().unwrap();
        for token in ["writer-1", "writer-2"] {
            writeln!(digests, "{:x}", Sha256::digest(token)).unwrap();
        }
        let path = digests.path().to_str().unwrap().to_owned();
        let arguments = [&["--ingest-token-digests-file", &path], arguments].concat();
        let service = Service::ready(uri, &arguments).await;
        Self {
            service,
            database,
            _digests: digests,
        }
    }

    pub async fn post(&self, headers: &[&str], body: impl AsRef<[u8]>) -> Response {
        let headers = [&[TOKEN], headers].concat();
        self.service
            .connect()
            .await
            .post("/batches", &headers, body)
            .await
    }

    /// What reads say of one day of a pair: number and mean.
    pub async fn day(&self, origin: &str, destination: &str, day: &str) -> (Value, Value) {
        let answer = self.service.get(&rates(day, day, origin, destination)).await;
        assert_eq!(answer.status, 200);
        let rate = &answer.json()["rates"][0];
        (rate["count"].clone(), rate["price"].clone())
    }

    pub async fn batch(&self, location: &str) -> Value {
        let answer = self.service.get(location).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

/// Rows of the example's pair on a day, in CSV.
pub fn csv(rows: impl IntoIterator<Item = (&'static str, u32)>) -> String {
    let mut text = "orig_code,dest_code,day,price\n".to_owned();
    for (day, price) in rows {
        writeln!(text, "{ORIGIN},{DESTINATION},{day},{price}").unwrap();
    }
    text
}

/// Many rows over the pairs of a few ports and over a month, in CSV.
pub fn many(rows: usize) -> String {
    const PORTS: [&str; 5] = ["CNGGZ", "EETLL", "NLRTM", "CNSGH", "DEHAM"];
    let mut text = "orig_code,dest_code,day,price\n".to_owned();
    for row in 0..rows {
        let (origin, destination) = (PORTS[row % 3], PORTS[(row / 3) % 3]);
        let (day, price) = (1 + row / 9 % 28, 1 + row % 4000);
        writeln!(text, "{origin},{destination},2023-02-{day:02},{price}").unwrap();
    }
    text
}

pub fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// Who sends a batch, where no request says so.
pub fn anna() -> Writer {
    let token = TokenDigest([7; 32]);
    Writer {
        owner: Owner {
            name: "anna".to_owned(),
            tokens: vec![token],
        },
        token,
    }
}

/// A batch without rows, read to its end.
pub fn empty() -> DecodedBatch {
    DecodedBatch {
        rows: 0,
        checksum: "sha256:".to_owned(),
        ports: Vec::new(),
        errors: None,
    }
}

/// How many prices a database has.
pub async fn count_prices(postgres: &Postgres, database: &str) -> i64 {
    number(&*postgres.owner(database).await, "SELECT count(*) FROM prices").await
}
