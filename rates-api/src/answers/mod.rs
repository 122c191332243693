//! Answers that are kept, and given again only as long as they are exact.
//!
//! An answer is kept with the snapshot of the database that was taken before it was read. Two equal snapshots see the
//! same data, and what was read between them saw it too. So before an answer is given again the database is asked for
//! its snapshot; one such question serves every request that was waiting when it was sent. Hot reads then cost the
//! database next to nothing, and a batch that was acknowledged a moment ago is in every answer. The same question says
//! how far a standby has to be to give an answer that is as exact.

mod freshness;

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::readers::{Position, Readers};
use crate::representation::Representation;
use freshness::{Freshness, Now};

/// How much is kept.
#[derive(Debug, Clone, clap::Args)]
pub struct AnswerSettings {
    /// Bytes of answers to GET /rates that are kept in memory; 0 keeps none. They are given again only while they are exact
    #[arg(long, env = "RATES_ANSWER_CACHE_BYTES", default_value = "16777216", value_parser = clap::value_parser!(u64).range(0..=17_179_869_184), value_name = "BYTES")]
    pub answer_cache_bytes: u64,
}

/// An answer, and what the database had before it was read.
#[derive(Clone)]
struct Kept {
    before: Arc<Now>,
    answer: Representation,
}

#[derive(Clone)]
struct Size;

/// What an entry costs beside its bytes.
const OVERHEAD: usize = 250;

impl Weighter<String, Kept> for Size {
    fn weight(&self, question: &String, kept: &Kept) -> u64 {
        (question.len() + kept.answer.len() + OVERHEAD) as u64
    }
}

/// The kept answers, by question.
pub struct Answers {
    kept: Option<Cache<String, Kept, Size>>,
    /// Where nothing is kept and there is no standby, nobody has to know what the database has now.
    freshness: Option<Freshness>,
}

impl Answers {
    #[must_use]
    pub fn start(settings: &AnswerSettings, readers: &Arc<Readers>) -> Self {
        /// About the size of the answer for a month.
        const USUAL: u64 = 2048;
        let bytes = settings.answer_cache_bytes;
        let kept = (bytes > 0)
            .then(|| Cache::with_weighter(usize::try_from(bytes / USUAL).unwrap_or(1), bytes, Size));
        let freshness = (kept.is_some() || readers.have_standby()).then(|| Freshness::start(readers));
        Self { kept, freshness }
    }

    /// Whether there is an answer to this question, of whatever time: then it is a valid one.
    #[must_use]
    pub fn know(&self, question: &str) -> bool {
        self.kept
            .as_ref()
            .is_some_and(|kept| kept.get(question).is_some())
    }

    /// The answer to a question, kept or made of what there is at a position or later.
    ///
    /// # Errors
    /// As making it fails; such an answer is not kept.
    pub async fn get<E>(
        &self,
        question: &str,
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
        if let Some(kept) = kept.get(question)
            && kept.before.snapshot == now.snapshot
        {
            return Ok(kept.answer);
        }
        let answer = make(Some(&now.position)).await?;
        let keep = Kept {
            before: now,
            answer: answer.clone(),
        };
        kept.insert(question.to_owned(), keep);
        Ok(answer)
    }

    async fn now(&self, deadline: Instant) -> Option<Arc<Now>> {
        self.freshness.as_ref()?.now(deadline).await
    }
}
