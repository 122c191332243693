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
const MAX_PORTS: usize = 1 << PORT_BITS;

/// How many bits the number of a port has at most.
pub const PORT_BITS: u32 = 20;

#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    #[error("the known ports cannot be read")]
    Database(#[from] tokio_postgres::Error),
    #[error("there are {0} ports, and batches are taken in with {MAX_PORTS} at most")]
    TooMany(usize),
}

impl Ports {
    /// Reads them all: some thousands at most, in one query.
    ///
    /// # Errors
    /// When the database cannot be asked, or has more ports than can be numbered.
    pub async fn read(client: &Client) -> Result<Self, PortsError> {
        let rows = client
            .query("SELECT code FROM public.ports ORDER BY code", &[])
            .await?;
        Self::of(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Numbers codes, which have to be in the database's order.
    ///
    /// # Errors
    /// When there are more than can be numbered.
    pub fn of(codes: Vec<String>) -> Result<Self, PortsError> {
        if codes.len() > MAX_PORTS {
            return Err(PortsError::TooMany(codes.len()));
        }
        let numbers = codes.iter().cloned().zip(0..).collect();
        Ok(Self { codes, numbers })
    }

    #[must_use]
    pub fn number(&self, code: &str) -> Option<PortNumber> {
        self.numbers.get(code).copied()
    }

    /// The code of a number that [`Ports::number`] gave; none of another number.
    #[must_use]
    pub fn code(&self, number: PortNumber) -> Option<&str> {
        self.codes.get(usize::try_from(number).ok()?).map(String::as_str)
    }

    /// All codes, in the order of their numbers.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.codes.iter().map(String::as_str)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_no_port_has_has_no_code() {
        let ports = Ports::of(vec!["AAAAA".to_owned()]).unwrap();
        assert_eq!(
            ports.number("AAAAA").and_then(|number| ports.code(number)),
            Some("AAAAA")
        );
        assert_eq!(ports.code(1), None);
    }

    #[test]
    fn more_ports_than_can_be_numbered_are_an_error() {
        assert!(Ports::of(vec![String::new(); MAX_PORTS + 1]).is_err());
    }
}
