//! How numbers, moments and rows are written in the tree.

use jiff::{Timestamp, Unit};

/// Rows as lines, whose columns are below each other.
pub fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .filter(|(_, width)| **width > 0)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A number with its thousands apart.
pub fn number(number: i64) -> String {
    let digits = number.to_string();
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits.as_str()),
    };
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}")
}

/// A number with its noun: `1 restart`, `2 restarts`.
pub fn counted(number: i64, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// An amount of the log.
pub fn bytes(amount: i64) -> String {
    match amount {
        ..10_240 => format!("{amount} B"),
        10_240..10_485_760 => format!("{} KiB", amount / 1024),
        _ => format!("{} MiB", amount / 1_048_576),
    }
}

/// A moment to the minute, in UTC.
pub fn minute(at: Timestamp) -> String {
    let at = at.round(Unit::Minute).unwrap_or(at);
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
