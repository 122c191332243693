//! Structured logs: a line of JSON for each event, on standard output.

mod json;
mod writer;

use tracing_subscriber::EnvFilter;

use json::Json;
pub use writer::Writing;

/// Checks a log filter when the arguments are read.
///
/// # Errors
/// A sentence that says what would be accepted.
pub fn filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| {
            format!(
                "{error}; expected a level such as `info`, or levels by module such as `info,rates_api=debug`"
            )
        })
}

/// Starts logs. All lines are written when the result is dropped.
#[must_use]
pub fn start(filter: &str) -> Writing {
    let (lines, writing) = writer::start(std::io::stdout());
    tracing_subscriber::fmt()
        .fmt_fields(Json)
        .event_format(Json)
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(move || lines.clone())
        .init();
    writing
}
