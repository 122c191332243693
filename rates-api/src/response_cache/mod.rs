//! A cache of responses that gives one again only as long as it is exact.
//!
//! A response is kept with the snapshot of the database that was taken before it was read. Two equal snapshots see the
//! same data, and what was read between them saw it too. So before a response is given again the database is asked for
//! its snapshot; one such question serves every request that was waiting when it was sent. Hot reads then cost the
//! database next to nothing, and a batch that was acknowledged a moment ago is in every response. The same question says
//! how far a standby has to be to give a response that is as exact.

mod snapshot_check;

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::readers::{Position, Readers};
use crate::representation::Representation;
use snapshot_check::{Now, SnapshotCheck};

/// How much is kept.
#[derive(Debug, Clone, clap::Args)]
pub struct ResponseCacheSettings {
    /// Bytes of answers to GET /rates that are kept in memory; 0 keeps none. They are given again only while they are exact
    #[arg(long, env = "RATES_ANSWER_CACHE_BYTES", default_value = "16777216", value_parser = clap::value_parser!(u64).range(0..=17_179_869_184), value_name = "BYTES")]
    pub answer_cache_bytes: u64,
}

/// A response, and what the database had before it was read.
#[derive(Clone)]
struct Kept {
    before: Arc<Now>,
    response: Representation,
}

#[derive(Clone)]
struct Size;

/// What an entry costs beside its bytes.
const OVERHEAD: usize = 250;

impl Weighter<String, Kept> for Size {
    fn weight(&self, query: &String, kept: &Kept) -> u64 {
        (query.len() + kept.response.len() + OVERHEAD) as u64
    }
}

/// The kept responses, by query string.
pub struct ResponseCache {
    kept: Option<Cache<String, Kept, Size>>,
    /// Where nothing is kept and there is no standby, nobody has to know what the database has now.
    snapshot_check: Option<SnapshotCheck>,
}

impl ResponseCache {
    #[must_use]
    pub fn start(settings: &ResponseCacheSettings, readers: &Arc<Readers>) -> Self {
        /// About the size of the response for a month.
        const USUAL: u64 = 2048;
        let bytes = settings.answer_cache_bytes;
        let kept = (bytes > 0)
            .then(|| Cache::with_weighter(usize::try_from(bytes / USUAL).unwrap_or(1), bytes, Size));
        let snapshot_check =
            (kept.is_some() || readers.have_standby()).then(|| SnapshotCheck::start(readers));
        Self { kept, snapshot_check }
    }

    /// Whether there is a response to this query, of whatever time: then the query is a valid one.
    #[must_use]
    pub fn contains(&self, query: &str) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.get(query).is_some())
    }

    /// The response to a query, kept or made of what there is at a position or later.
    ///
    /// # Errors
    /// As making it fails; such a response is not kept.
    pub async fn get<E>(
        &self,
        query: &str,
        deadline: Instant,
        make: impl AsyncFnOnce(Option<&Position>) -> Result<Representation, E>,
    ) -> Result<Representation, E> {
        // A database that does not answer is for the making to wait for, and to report.
        let Some(now) = self.now(deadline).await else {
            return make(None).await;
        };
        let Some(kept) = &self.kept else {
            return make(Some(&now.position)).await;
        };
        if let Some(kept) = kept.get(query)
            && kept.before.snapshot == now.snapshot
        {
            return Ok(kept.response);
        }
        let response = make(Some(&now.position)).await?;
        let keep = Kept {
            before: now,
            response: response.clone(),
        };
        kept.insert(query.to_owned(), keep);
        Ok(response)
    }

    async fn now(&self, deadline: Instant) -> Option<Arc<Now>> {
        self.snapshot_check.as_ref()?.now(deadline).await
    }
}
