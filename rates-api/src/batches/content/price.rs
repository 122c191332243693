//! What is a price: a whole number, however it is written.

/// The largest: PostgreSQL's `integer` holds no more.
const MAX: u32 = i32::MAX.cast_unsigned();
/// As many digits as [`MAX`] has.
const DIGITS: usize = 10;

/// The price that a text is: a number as in JSON whose value is whole, from 1 to 2,147,483,647. As to JSON Schema's
/// `integer`, `1154`, `1154.0` and `1.154e3` are the same. It is read digit by digit, so nothing is rounded.
#[must_use]
pub fn price(text: &str) -> Option<u32> {
    let number = if text.len() <= DIGITS && is_digits(text) {
        text.parse().ok()?
    } else {
        whole(text)?
    };
    u32::try_from(number)
        .ok()
        .filter(|price| (1..=MAX).contains(price))
}

/// The value of a number that has a fraction or an exponent, if it is whole and has at most [`DIGITS`] digits.
fn whole(text: &str) -> Option<u64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, self::exponent(exponent)?),
        None => (text, 0),
    };
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((integer, fraction)) => (integer, is_digits(fraction).then_some(fraction)?),
        None => (mantissa, ""),
    };
    if !is_digits(integer) {
        return None;
    }
    let digits = [integer, fraction].concat();
    let significant = digits.trim_end_matches('0');
    // The value is `significant` times ten to this power.
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    let power = exponent
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(zeros)?;
    let significant = significant.trim_start_matches('0');
    let power = usize::try_from(power).ok()?;
    if significant.len().saturating_add(power) > DIGITS {
        return None;
    }
    let significant: u64 = significant.parse().ok()?;
    significant.checked_mul(10_u64.checked_pow(u32::try_from(power).ok()?)?)
}

fn exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    is_digits(digits).then(|| text.parse().ok())?
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_prices_however_they_are_written() {
        for (text, expected) in [
            ("1", 1),
            ("0012", 12),
            ("2147483647", 2_147_483_647),
            ("1154.0", 1154),
            ("1154.000000000000000000000000", 1154),
            ("1.154e3", 1154),
            ("1.154E+3", 1154),
            ("115400e-2", 1154),
            ("11540.0e-1", 1154),
            ("0.1e1", 1),
            ("1e9", 1_000_000_000),
            ("2147483647.0", 2_147_483_647),
            ("21474836470e-1", 2_147_483_647),
        ] {
            assert_eq!(price(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_whole_or_does_not_fit_is_no_price() {
        for text in [
            "",
            "0",
            "-1",
            "+1",
            " 1",
            "1 ",
            "0.0",
            "0e5",
            "-0",
            "1154.5",
            "1.1545e3",
            "1e-1",
            "115401e-2",
            "1.",
            ".5",
            "1.e3",
            "1e",
            "1e+",
            "1e3.0",
            "e3",
            "1.0.0",
            "1_000",
            "0x10",
            "NaN",
            "inf",
            "1,154",
            "2147483648",
            "2147483647.0000000000000001",
            "2147483648.0",
            "3e9",
            "1e10",
            "1e400",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "1e9223372036854775807",
            "1.0e-9223372036854775808",
            "99999999999999999999",
            "١",
        ] {
            assert_eq!(price(text), None, "{text}");
        }
    }
}
