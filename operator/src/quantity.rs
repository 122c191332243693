//! Kubernetes quantities as numbers: `1024Mi` and `1Gi` are the same size, `6G` and `6Gi` not.

use std::cmp::Ordering;

/// A quantity as it was written, which compares by value.
#[derive(Clone, Debug)]
pub struct Quantity {
    text: String,
    /// In billionths, of which the API server keeps none smaller.
    nano: i128,
}

const NANO: i128 = 1_000_000_000;
const NANO_PER_MILLI: i128 = 1_000_000;

impl Quantity {
    /// Parses what the API server takes as a quantity, and as it does: what is smaller than a
    /// billionth is rounded up. `None` for the rest.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let suffix_at = text
            .find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'))
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(suffix_at);
        let (factor, divisor) = scale(suffix)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if fraction.len() > 18
            || !digits
                .trim_start_matches(['+', '-'])
                .bytes()
                .all(|b| b.is_ascii_digit())
        {
            return None;
        }
        let mantissa: i128 = digits.parse().ok()?;
        let fraction_scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let nano = div_up(
            mantissa.checked_mul(factor)?.checked_mul(NANO)?,
            fraction_scale.checked_mul(divisor)?,
        );
        Some(Self {
            text: text.to_owned(),
            nano,
        })
    }

    /// In thousandths, rounded up, as the API server keeps the resources of a container.
    #[must_use]
    pub fn rounded_up(&self) -> i128 {
        div_up(self.nano, NANO_PER_MILLI)
    }

    /// Whole units: bytes of a size.
    #[must_use]
    pub const fn bytes(&self) -> i128 {
        self.nano / NANO
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Divided by something positive, away from zero.
const fn div_up(amount: i128, by: i128) -> i128 {
    amount / by + (amount % by).signum()
}

/// A suffix as a factor and a divisor.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power: u32| 1024_i128.checked_pow(power).map(|factor| (factor, 1));
    let decimal = |power: u32| 10_i128.checked_pow(power).map(|factor| (factor, 1));
    match suffix {
        "" => Some((1, 1)),
        "n" => Some((1, NANO)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1000)),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let (scale, _) = decimal(exponent.unsigned_abs())?;
            Some(if exponent < 0 { (1, scale) } else { (scale, 1) })
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap_or_else(|| panic!("{text} should parse"))
    }

    #[test]
    fn equal_sizes_written_differently_are_equal() {
        for (left, right) in [
            ("1024Mi", "1Gi"),
            ("1e9", "1G"),
            ("1.5Gi", "1536Mi"),
            ("500m", "0.5"),
            ("2", "2000m"),
            ("1e-3", "1m"),
            ("0.0000000001", "1n"),
            ("1500n", "1.5u"),
        ] {
            assert_eq!(quantity(left), quantity(right));
        }
    }

    #[test]
    fn decimal_and_binary_suffixes_differ() {
        assert!(quantity("6G") < quantity("6Gi"));
        assert!(quantity("2Gi") > quantity("2047Mi"));
    }

    #[test]
    fn resources_are_rounded_up_to_thousandths() {
        for (amount, thousandths) in [("0.3333", 334), ("1n", 1), ("2m", 2), ("1", 1000)] {
            assert_eq!(quantity(amount).rounded_up(), thousandths, "{amount}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "Gi", "1GB", "lots", "1.2.3", "1-1", "e9", "1E"] {
            let parsed = Quantity::parse(text);
            // A bare `1E` is an exa.
            assert_eq!(parsed.is_some(), text == "1E", "{text}");
        }
    }
}
