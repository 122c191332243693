//! How batches are taken in.

use std::path::PathBuf;
use std::time::Duration;

use crate::duration::some_seconds;

#[derive(Debug, Clone, clap::Args)]
pub struct BatchSettings {
    /// A file with the SHA-256 digests, in hexadecimal, a line each, of the tokens that may write, below lines `# owner: NAME`; read anew for every batch. Unset, nobody may
    #[arg(long, env = "RATES_INGEST_TOKEN_DIGESTS_FILE", value_name = "FILE")]
    pub ingest_token_digests_file: Option<PathBuf>,

    /// Batches that are taken in at once, each with a connection of its own and up to 30 MiB; more wait
    #[arg(long, env = "RATES_MAX_BATCHES", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=64), value_name = "NUMBER")]
    pub max_batches: u16,

    /// Seconds from the first byte of a batch until it is given up
    #[arg(long, env = "RATES_MAX_BATCH_SECONDS", default_value = "300", value_parser = some_seconds, value_name = "SECONDS")]
    pub max_batch_seconds: Duration,

    /// Bytes that a batch may have, unpacked
    #[arg(long, env = "RATES_MAX_BATCH_BYTES", default_value = "4294967296", value_parser = clap::value_parser!(u64).range(1..), value_name = "BYTES")]
    pub max_batch_bytes: u64,

    /// Rows that a batch may have
    #[arg(long, env = "RATES_MAX_BATCH_ROWS", default_value = "20000000", value_parser = clap::value_parser!(u64).range(1..), value_name = "ROWS")]
    pub max_batch_rows: u64,

    /// Seconds that a client may send nothing in the middle of a batch
    #[arg(long, env = "RATES_BODY_TIMEOUT_SECONDS", default_value = "30", value_parser = some_seconds, value_name = "SECONDS")]
    pub body_timeout_seconds: Duration,

    /// Seconds after which the batch of a process that says nothing any more may be sent again
    #[arg(long, env = "RATES_LEASE_SECONDS", default_value = "15", value_parser = some_seconds, value_name = "SECONDS")]
    pub lease_seconds: Duration,

    /// Hours for which an Idempotency-Key is remembered, from the beginning of its batch
    #[arg(long, env = "RATES_IDEMPOTENCY_HOURS", default_value = "24", value_parser = clap::value_parser!(u32).range(1..=8760), value_name = "HOURS")]
    pub idempotency_hours: u32,
}
