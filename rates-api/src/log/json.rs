//! An event as a line of JSON.
//!
//! `tracing-subscriber` has such a format too. It reads the fields of a span, which it has as text, again for every line,
//! and writes both by way of a tree: of what the answer to a read costs that was a third.

use std::fmt::{self, Debug};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Time, level, the event's fields, target, and the fields of the span that it is in.
pub struct Json;

impl<S> FormatEvent<S, Self> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Self>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        write!(writer, "{{\"timestamp\":\"{:.6}\",\"level\":\"", Timestamp::now())?;
        writer.write_str(metadata.level().as_str())?;
        writer.write_str("\",")?;
        self.format_fields(writer.by_ref(), event)?;
        writer.write_str("\"target\":")?;
        text(&mut writer, metadata.target())?;
        if let Some(span) = context.lookup_current() {
            writer.write_str(",\"span\":{")?;
            if let Some(fields) = span.extensions().get::<FormattedFields<Self>>() {
                writer.write_str(&fields.fields)?;
            }
            writer.write_str("\"name\":")?;
            text(&mut writer, span.name())?;
            writer.write_char('}')?;
        }
        writer.write_str("}\n")
    }
}

/// Members of an object, each with a comma behind it.
impl<'w> FormatFields<'w> for Json {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut members = Members {
            writer,
            outcome: Ok(()),
        };
        fields.record(&mut members);
        members.outcome
    }

    fn add_fields(&self, current: &'w mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

struct Members<'w> {
    writer: Writer<'w>,
    outcome: fmt::Result,
}

impl Members<'_> {
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        // Where a line of the `log` crate comes from is in its metadata.
        if self.outcome.is_err() || field.name().starts_with("log.") {
            return;
        }
        self.outcome = text(&mut self.writer, field.name())
            .and_then(|()| self.writer.write_char(':'))
            .and_then(|()| value(&mut self.writer))
            .and_then(|()| self.writer.write_char(','));
    }
}

impl Visit for Members<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, |writer| text(writer, value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no number for what is none.
        self.member(field, |writer| match serde_json::to_string(&value) {
            Ok(number) => writer.write_str(&number),
            Err(_) => Err(fmt::Error),
        });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |writer| write!(writer, "{value}"));
    }
}

/// A string of JSON. Most have nothing to escape.
fn text(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    if text
        .bytes()
        .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
    {
        writer.write_char('"')?;
        writer.write_str(text)?;
        writer.write_char('"')
    } else {
        writer.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Sink {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let sink = Sink::default();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(Json)
            .event_format(Json)
            .with_writer(sink.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    #[test]
    fn a_line_has_the_event_and_its_span() {
        let lines = lines(|| {
            let span = tracing::info_span!("request", id = "a\"b", late = tracing::field::Empty);
            span.record("late", 7);
            span.in_scope(|| {
                tracing::info!(target: "t", count = 3, left = -1_i64, share = 0.25, none = f64::NAN, done = true, "line\n1");
            });
            tracing::warn!(error = %"\u{1}ü\\", list = ?["a"]);
        });
        let [first, second] = lines.try_into().unwrap();
        let time: Timestamp = first["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(time <= Timestamp::now());
        assert_eq!(
            first,
            json!({
                "timestamp": first["timestamp"], "level": "INFO", "message": "line\n1", "target": "t",
                "count": 3, "left": -1, "share": 0.25, "none": null, "done": true,
                "span": {"id": "a\"b", "late": 7, "name": "request"},
            })
        );
        assert_eq!(
            second,
            json!({
                "timestamp": second["timestamp"], "level": "WARN", "target": "rates_api::log::json::tests",
                "error": "\u{1}ü\\", "list": "[\"a\"]",
            })
        );
    }
}
