//! Plain dumps without psql: loaded statement by statement, and read as text for expected values.

use std::collections::BTreeMap;
use std::pin::pin;

use futures::SinkExt as _;
use tokio_postgres::Client;

/// Runs the statements of a plain dump, with the rows that follow each `COPY … FROM stdin;`.
pub async fn load(client: &Client, text: &str) {
    let mut statement = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with("--") {
            continue;
        }
        statement.push_str(line);
        statement.push('\n');
        if !line.ends_with(';') {
            continue;
        }
        if is_copy(line) {
            let rows: String = lines
                .by_ref()
                .take_while(|line| *line != "\\.")
                .flat_map(|line| [line, "\n"])
                .collect();
            let mut sink = pin!(client.copy_in::<_, axum::body::Bytes>(line).await.unwrap());
            sink.send(rows.into()).await.unwrap();
            sink.finish().await.unwrap();
        } else {
            client.batch_execute(&statement).await.unwrap();
        }
        statement.clear();
    }
    client.batch_execute("RESET search_path").await.unwrap();
}

fn is_copy(line: &str) -> bool {
    line.starts_with("COPY ") && line.ends_with(" FROM stdin;")
}

/// The prices of every pair and day, from the dump's text.
pub type Prices = BTreeMap<(String, String), BTreeMap<String, Vec<i64>>>;

pub fn prices(text: &str) -> Prices {
    let mut prices = Prices::new();
    let rows = text
        .lines()
        .skip_while(|line| *line != "COPY public.prices (orig_code, dest_code, day, price) FROM stdin;")
        .skip(1)
        .take_while(|line| *line != "\\.");
    for row in rows {
        let fields: Vec<&str> = row.split('\t').collect();
        let [origin, destination, day, price] = fields[..] else {
            panic!("{row:?} has not four fields")
        };
        let pair = (origin.to_owned(), destination.to_owned());
        prices
            .entry(pair)
            .or_default()
            .entry(day.to_owned())
            .or_default()
            .push(price.parse().unwrap());
    }
    assert!(!prices.is_empty(), "the dump has no prices");
    prices
}

/// What the API has to answer for one day with the given prices.
pub fn expected(day: &str, prices: Option<&Vec<i64>>) -> serde_json::Value {
    let count = prices.map(Vec::len);
    let mean = prices.filter(|prices| prices.len() >= 3).map(|prices| {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let mean = prices.iter().sum::<i64>() as f64 / prices.len() as f64;
        mean
    });
    serde_json::json!({ "count": count, "day": day, "price": mean })
}
