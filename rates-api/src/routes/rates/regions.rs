//! The days of regions: as few or as many pairs of ports as there are in them.

use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::OF_PORTS;
use super::arguments::{Arguments, Days};
use crate::readers::{Position, ReadError, Readers, Statement};

/// What the shared connections are asked at most: as much as the longest range of one pair. More has a connection to
/// itself.
const CHEAP: usize = 4_000;

/// What finding a pair costs, in days: as much as reading so many.
const PAIR: usize = 20;

/// The totals of all pairs of the ports that the two codes stand for, where at least one of them is a region.
pub async fn totals(
    readers: &Readers,
    arguments: &Arguments,
    days: Days,
    position: Option<&Position>,
    deadline: Instant,
) -> Result<Vec<Row>, ReadError> {
    let codes = readers
        .query(
            Statement::PortsOfCodes,
            &[&arguments.origin, &arguments.destination],
            position,
            deadline,
        )
        .await?;
    let (origins, destinations): (Vec<String>, Vec<String>) = codes
        .first()
        .map_or_else(Default::default, |row| (row.get(0), row.get(1)));
    // Two ports, of which it is known that they have nothing.
    if origins == [arguments.origin.as_str()] && destinations == [arguments.destination.as_str()] {
        return Ok(Vec::new());
    }
    match origins.len() * destinations.len() * (PAIR + days.count()) {
        0 => Ok(Vec::new()),
        1..=CHEAP => {
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&origins, &destinations, &days.first, &days.last];
            readers
                .query(Statement::RatesOfPorts, &parameters, position, deadline)
                .await
        }
        _ => {
            let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] = [
                (&origins, Type::TEXT_ARRAY),
                (&destinations, Type::TEXT_ARRAY),
                (&days.first, Type::DATE),
                (&days.last, Type::DATE),
            ];
            readers.query_expensive(OF_PORTS, &parameters, deadline).await
        }
    }
}
