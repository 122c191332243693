//! The expected answers, computed from a dump's text and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// Prices by (origin, destination), then by day as `YYYY-MM-DD`.
pub type Prices = BTreeMap<(String, String), BTreeMap<String, Vec<i64>>>;

/// What a dump holds, as far as `GET /rates` shows it.
pub struct Dump {
    pub ports: BTreeSet<String>,
    pub prices: Prices,
    /// Rows of `prices`.
    pub rows: usize,
}

impl Dump {
    /// Reads the COPY sections of a plain dump.
    pub fn parse(text: &str) -> Result<Self> {
        let mut dump = Self {
            ports: BTreeSet::new(),
            prices: Prices::new(),
            rows: 0,
        };
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(table) = line.strip_prefix("COPY public.") else {
                continue;
            };
            let rows = lines.by_ref().take_while(|row| *row != "\\.");
            if table.starts_with("ports (code,") {
                dump.ports
                    .extend(rows.filter_map(|row| row.split('\t').next()).map(str::to_owned));
            } else if table.starts_with("prices (orig_code, dest_code, day, price)") {
                for row in rows {
                    dump.add(row)?;
                }
            } else {
                rows.for_each(drop);
            }
        }
        if dump.rows == 0 {
            bail!("no `COPY public.prices (orig_code, dest_code, day, price)` section with rows");
        }
        Ok(dump)
    }

    fn add(&mut self, row: &str) -> Result<()> {
        let fields: Vec<&str> = row.split('\t').collect();
        let [orig, dest, day, price] = fields.as_slice() else {
            bail!("not four fields: {row:?}")
        };
        let price = price.parse().with_context(|| format!("the price in {row:?}"))?;
        let pair = ((*orig).to_owned(), (*dest).to_owned());
        self.prices
            .entry(pair)
            .or_default()
            .entry((*day).to_owned())
            .or_default()
            .push(price);
        self.rows += 1;
        Ok(())
    }

    /// The first and the last day with a price.
    #[must_use]
    pub fn span(&self) -> Option<(String, String)> {
        let days = || self.prices.values().flat_map(BTreeMap::keys);
        Some((days().min()?.clone(), days().max()?.clone()))
    }

    /// What `GET /rates` must give for a pair on a day: the mean as a float, null
    /// below three prices; the count, null instead of 0.
    pub fn expected(&self, orig: &str, dest: &str, day: &str) -> Value {
        let prices = self
            .prices
            .get(&(orig.to_owned(), dest.to_owned()))
            .and_then(|days| days.get(day))
            .map_or(&[][..], Vec::as_slice);
        let count = prices.len();
        #[expect(clippy::cast_precision_loss, reason = "sums of prices are far below 2^53")]
        let price = (count >= 3).then(|| prices.iter().sum::<i64>() as f64 / count as f64);
        json!({"day": day, "count": (count > 0).then_some(count), "price": price})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "COPY public.ports (code, name, parent_slug) FROM stdin;\nAAAAA\tA\tx\n\\.\n\
        COPY public.prices (orig_code, dest_code, day, price) FROM stdin;\n\
        AAAAA\tBBBBB\t2021-01-02\t1\nAAAAA\tBBBBB\t2021-01-02\t2\nAAAAA\tBBBBB\t2021-01-02\t4\n\
        AAAAA\tBBBBB\t2021-01-01\t9\n\\.\n";

    #[test]
    fn three_prices_give_a_mean_and_one_gives_only_a_count() {
        let dump = Dump::parse(TEXT).unwrap();
        assert_eq!(dump.rows, 4);
        assert_eq!(
            dump.span(),
            Some(("2021-01-01".to_owned(), "2021-01-02".to_owned()))
        );
        assert_eq!(
            dump.expected("AAAAA", "BBBBB", "2021-01-02"),
            json!({"count": 3, "day": "2021-01-02", "price": 7.0 / 3.0})
        );
        assert_eq!(
            dump.expected("AAAAA", "BBBBB", "2021-01-01"),
            json!({"count": 1, "day": "2021-01-01", "price": null})
        );
        assert_eq!(
            dump.expected("BBBBB", "AAAAA", "2021-01-01"),
            json!({"count": null, "day": "2021-01-01", "price": null})
        );
    }

    #[test]
    fn a_text_without_prices_is_not_a_dump() {
        assert!(Dump::parse("SELECT 1;").is_err());
    }
}
