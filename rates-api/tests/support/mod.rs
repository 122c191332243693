//! What tests are made of: a PostgreSQL server, the program, a client that sees every byte, and waiting for conditions.

pub mod dump;
pub mod forward;
pub mod http;
pub mod postgres;
pub mod program;
pub mod random;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres::Postgres;

type Body = Box<dyn FnOnce(Arc<Postgres>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A test that runs against a server.
pub struct Test {
    name: String,
    skipped: bool,
    body: Body,
}

impl Test {
    pub fn new<F>(module: &str, name: &str, body: fn(Arc<Postgres>) -> F) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let module = module.split_once("::").map_or(module, |(_, path)| path);
        Self {
            name: format!("{module}::{name}"),
            skipped: false,
            body: Box::new(move |server| Box::pin(body(server))),
        }
    }

    /// Reports the test as ignored.
    pub fn skipped_if(mut self, skipped: bool) -> Self {
        self.skipped = skipped;
        self
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn is_skipped(&self) -> bool {
        self.skipped
    }

    pub async fn run(self, server: Arc<Postgres>) {
        (self.body)(server).await;
    }
}

/// The tests of a module, by the names of their functions.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub fn tests() -> Vec<$crate::support::Test> {
            vec![$($crate::support::Test::new(module_path!(), stringify!($name), $name)),*]
        }
    };
}
pub(crate) use tests;

/// Asks again and again until there is an answer; fails after the time limit, saying what was waited for.
pub async fn eventually<T>(what: &str, within: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < within, "{what}: not within {within:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The time limit for what should happen at once on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);
