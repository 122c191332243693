//! A short digest by which inputs are told from others.

use sha2::{Digest, Sha256};

/// The first ten hex digits of the SHA-256 of some parts, each with its length before it.
#[must_use]
pub fn short_digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part);
    }
    let mut digits = String::with_capacity(10);
    for byte in hasher.finalize().iter().take(5) {
        for digit in [byte >> 4, byte & 15] {
            digits.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    digits
}
