//! Prices, gathered by the hundred thousand, sorted, and written as groups: the rows of `batch_prices`.
//!
//! A group holds prices of one pair of ports, and their number and sum for each of its days. To PostgreSQL a row costs
//! some hundred times what an element of an array costs, and so does an entry of an index.

use std::error::Error;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio_postgres::types::{ToSql, Type};

use super::ports::{PORT_BITS, PortNumber, Ports};

/// The statement that takes what [`write`] gives.
pub const COPY: &str = "COPY rates_internal.batch_prices (batch_id, orig_code, dest_code, days, totals, counts, prices) \
                        FROM STDIN (FORMAT binary)";

/// How many prices are sorted at once: 16 bytes each. More make larger groups, fewer less memory.
pub const CHUNK: usize = 1 << 19;

/// The largest group, in bytes of its arrays: a row up to 2 kB stays in its page.
const MAX_GROUP_BYTES: usize = 1600;
const BYTES_PER_DAY: usize = 4 + 8 + 4;
const BYTES_PER_PRICE: usize = 4;

/// About how many bytes are handed on at once.
const PIECE: usize = 128 * 1024;

/// The signature, flags and extension of PostgreSQL's binary format, and its end.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: i16 = -1;

/// A price of a pair on a day, the number of days since 2000-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priced {
    pub origin: PortNumber,
    pub destination: PortNumber,
    pub day: i32,
    pub price: u32,
}

const DAY_BITS: u32 = 64 - 2 * PORT_BITS;
/// Days before the year 2000 are negative; this makes those of all years that have four digits positive.
const DAY_OFFSET: i32 = 1 << 20;

impl Priced {
    fn pair(self) -> (PortNumber, PortNumber) {
        (self.origin, self.destination)
    }

    /// Sorts by pair and then by day, in one comparison.
    fn key(self) -> u64 {
        let day = u64::from(self.day.wrapping_add(DAY_OFFSET).cast_unsigned());
        (u64::from(self.origin) << (PORT_BITS + DAY_BITS)) | (u64::from(self.destination) << DAY_BITS) | day
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no port has the number {0}")]
struct UnknownNumber(PortNumber);

/// One group, as long as it is made.
#[derive(Default)]
struct Group {
    days: Vec<i32>,
    totals: Vec<i64>,
    counts: Vec<i32>,
    prices: Vec<i32>,
}

impl Group {
    fn is_full(&self) -> bool {
        self.days.len() * BYTES_PER_DAY + self.prices.len() * BYTES_PER_PRICE >= MAX_GROUP_BYTES
    }

    fn add(&mut self, day: i32, price: u32) {
        let price = price.cast_signed();
        if self.days.last() != Some(&day) {
            self.days.push(day);
            self.totals.push(0);
            self.counts.push(0);
        }
        if let (Some(total), Some(count)) = (self.totals.last_mut(), self.counts.last_mut()) {
            *total += i64::from(price);
            *count += 1;
        }
        self.prices.push(price);
    }

    fn clear(&mut self) {
        self.days.clear();
        self.totals.clear();
        self.counts.clear();
        self.prices.clear();
    }
}

/// Sorts the prices and hands them on as the content of one `COPY`, in pieces; `false` from `hand_on` ends it.
///
/// # Errors
/// When a value does not fit PostgreSQL's format; none of those that a group has does not.
pub fn write(
    batch: i64,
    ports: &Ports,
    prices: &mut [Priced],
    mut hand_on: impl FnMut(Bytes) -> bool,
) -> Result<(), Box<dyn Error + Sync + Send>> {
    prices.sort_unstable_by_key(|priced| priced.key());
    let mut buffer = BytesMut::with_capacity(PIECE + 4096);
    buffer.put_slice(HEADER);
    let mut group = Group::default();
    for pair in prices.chunk_by(|one, other| one.pair() == other.pair()) {
        let code = |number| ports.code(number).ok_or(UnknownNumber(number));
        let (origin, destination) = (code(pair[0].origin)?, code(pair[0].destination)?);
        let mut rest = pair.iter().peekable();
        while let Some(next) = rest.next() {
            group.add(next.day, next.price);
            if group.is_full() || rest.peek().is_none() {
                write_group(&mut buffer, batch, origin, destination, &group)?;
                group.clear();
            }
        }
        if buffer.len() >= PIECE {
            if !hand_on(buffer.split().freeze()) {
                return Ok(());
            }
            buffer.reserve(PIECE + 4096);
        }
    }
    buffer.put_i16(TRAILER);
    hand_on(buffer.freeze());
    Ok(())
}

fn write_group(
    buffer: &mut BytesMut,
    batch: i64,
    origin: &str,
    destination: &str,
    group: &Group,
) -> Result<(), Box<dyn Error + Sync + Send>> {
    buffer.put_i16(7);
    field(buffer, &batch, &Type::INT8)?;
    field(buffer, &origin, &Type::TEXT)?;
    field(buffer, &destination, &Type::TEXT)?;
    // To PostgreSQL a day is a 32-bit number too.
    field(buffer, &group.days, &Type::DATE_ARRAY)?;
    field(buffer, &group.totals, &Type::INT8_ARRAY)?;
    field(buffer, &group.counts, &Type::INT4_ARRAY)?;
    field(buffer, &group.prices, &Type::INT4_ARRAY)
}

/// The length of a value, and the value.
fn field(buffer: &mut BytesMut, value: &impl ToSql, kind: &Type) -> Result<(), Box<dyn Error + Sync + Send>> {
    let start = buffer.len();
    buffer.put_i32(0);
    value.to_sql(kind, buffer)?;
    let length = i32::try_from(buffer.len() - start - 4)?;
    buffer[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_sorted_by_pair_and_then_by_day() {
        let last = (1 << PORT_BITS) - 1;
        let sorted = [
            (0, 0, -730_119),
            (0, 0, -1),
            (0, 0, 0),
            (0, 0, 2_921_939),
            (0, 1, -730_119),
            (0, last, 2_921_939),
            (1, 0, -730_119),
            (last, last, 2_921_939),
        ];
        let keys = sorted.map(|(origin, destination, day)| {
            Priced {
                origin,
                destination,
                day,
                price: 9,
            }
            .key()
        });
        assert!(keys.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn a_pair_that_the_batch_does_not_know_is_an_error() {
        let ports = Ports::of(vec!["AAAAA".to_owned()]).unwrap();
        let mut prices = [Priced {
            origin: 0,
            destination: 1,
            day: 0,
            price: 1,
        }];
        let written = write(1, &ports, &mut prices, |_| true);
        assert_eq!(written.unwrap_err().to_string(), "no port has the number 1");
    }

    #[test]
    fn groups_stay_within_their_size_and_hold_every_price() {
        let mut group = Group::default();
        let mut groups = 0;
        for day in 0..1000 {
            group.add(day, 1);
            if group.is_full() {
                assert!(group.days.len() * 20 <= MAX_GROUP_BYTES + 20);
                groups += 1;
                group.clear();
            }
        }
        assert_eq!(groups, 12);
    }

    #[test]
    fn a_day_has_its_number_and_its_sum() {
        let mut group = Group::default();
        for (day, price) in [
            (1, 5),
            (1, 7),
            (2, i32::MAX.cast_unsigned()),
            (2, i32::MAX.cast_unsigned()),
        ] {
            group.add(day, price);
        }
        assert_eq!(group.days, [1, 2]);
        assert_eq!(group.totals, [12, 2 * i64::from(i32::MAX)]);
        assert_eq!(group.counts, [2, 2]);
        assert_eq!(group.prices, [5, 7, i32::MAX, i32::MAX]);
    }
}
