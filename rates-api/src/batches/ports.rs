//! The known ports, numbered, as a batch met them when it began.

use std::collections::HashMap;

use tokio_postgres::Client;

/// The number of a port within a batch.
pub type PortNumber = u32;

#[derive(Debug, Default)]
pub struct Ports {
    /// In the database's own order of texts, so that sorting by number sorts by code.
    codes: Vec<String>,
    numbers: HashMap<String, PortNumber>,
}

/// More would not fit the numbers that prices are sorted by.
const MAX_PORTS: usize = 1 << 20;

impl Ports {
    /// Reads them all: some thousands at most, in one query.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn read(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let rows = client
            .query("SELECT code FROM public.ports ORDER BY code", &[])
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    #[must_use]
    pub fn number(&self, code: &str) -> Option<PortNumber> {
        self.numbers.get(code).copied()
    }

    /// The code of a number that [`Ports::number`] gave.
    #[must_use]
    pub fn code(&self, number: PortNumber) -> &str {
        self.codes.get(number as usize).map_or("", String::as_str)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }
}

impl FromIterator<String> for Ports {
    fn from_iter<I: IntoIterator<Item = String>>(codes: I) -> Self {
        let codes: Vec<String> = codes.into_iter().take(MAX_PORTS).collect();
        let numbers = codes
            .iter()
            .zip(0..)
            .map(|(code, number)| (code.clone(), number))
            .collect();
        Self { codes, numbers }
    }
}
