//! Days as callers write them.

use jiff::civil::Date;

/// A day as the original service's parser took it, less what PostgreSQL refused: a year of exactly four digits,
/// month and day of one or two, in ASCII, that are a day of the calendar.
#[must_use]
pub fn parse(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4..=4)?;
    let month = number(parts.next()?, 1..=2)?;
    let day = number(parts.next()?, 1..=2)?;
    if parts.next().is_some() || year == 0 {
        return None;
    }
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<i16> {
    (digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_padding_is_optional() {
        let expected = Date::new(2021, 1, 2).ok();
        for text in ["2021-01-02", "2021-1-2", "2021-01-2", "2021-1-02"] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_else_is_a_day() {
        for text in [
            "",
            "-",
            "--",
            "2021",
            "2021-01",
            "2021-01-",
            "2021-01-01-",
            "2021-01-01-01",
            "-2021-01-01",
            "+2021-01-01",
            "021-01-01",
            "12021-01-01",
            "02021-01-01",
            "2021-001-01",
            "2021-01-001",
            "2021-00-01",
            "2021-01-00",
            "2021-13-01",
            "2021-01-32",
            "2021-02-29",
            "2021-04-31",
            "1900-02-29",
            "0000-01-01",
            "2021/01/01",
            "20210101",
            "2021-01-01 ",
            " 2021-01-01",
            "2021-01- 1",
            "2021- 1-01",
            "2021-01-01T00:00:00",
            "2021-01-01\n",
            "2021-01-01\0",
            "٢٠٢١-٠١-٠١",
            "2021-01-0１",
            "２０２１-01-01",
            "2021-Jan-01",
            "2021-1e-1",
            "0x7e-01-01",
            "2021−01−01",
            "today",
            "infinity",
            "NaN",
            "null",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_first_and_the_last_day_are_days() {
        assert!(parse("0001-01-01").is_some());
        assert!(parse("9999-12-31").is_some());
    }

    /// An oracle of another make: every writing of every day of leap and common years, counted by hand.
    #[test]
    fn every_day_of_the_calendar_is_a_day_in_every_writing_and_no_other_is() {
        for year in [1, 4, 100, 400, 1900, 2000, 2020, 2021, 2100, 9999] {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [
                31,
                if leap { 29 } else { 28 },
                31,
                30,
                31,
                30,
                31,
                31,
                30,
                31,
                30,
                31,
            ];
            for month in 0..=99_usize {
                for day in 0..=99_usize {
                    let is_day =
                        month >= 1 && day >= 1 && lengths.get(month - 1).is_some_and(|&length| day <= length);
                    for text in [
                        format!("{year:04}-{month:02}-{day:02}"),
                        format!("{year:04}-{month}-{day}"),
                    ] {
                        assert_eq!(parse(&text).is_some(), is_day, "{text}");
                        if let Some(parsed) = parse(&text) {
                            assert_eq!(parsed.to_string(), format!("{year:04}-{month:02}-{day:02}"));
                        }
                    }
                }
            }
        }
    }
}
