//! The token that batches come with: made once, kept as it is found, and never replaced where a
//! person has set one.

use k8s_openapi::api::core::v1::Secret;
use sha2::{Digest, Sha256};

use crate::password::Password;

/// The Secret's key for the token.
pub const TOKEN: &str = "ingest-token";
/// The Secret's key for what the API is shown in its place.
pub const TOKEN_SHA256: &str = "ingest-token-sha256";

/// A bearer token: 16 to 128 visible ASCII characters. Shown nowhere but in its Secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IngestToken(Password);

/// What the Secret holds is no token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed;

impl IngestToken {
    /// 32 letters and digits.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Password::generate().map(Self)
    }

    /// Of a Secret's value.
    pub fn parse(value: &[u8]) -> Result<Self, Malformed> {
        let fits = (16..=128).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
        match str::from_utf8(value) {
            Ok(text) if fits => Ok(Self(text.to_owned().into())),
            Ok(_) | Err(_) => Err(Malformed),
        }
    }

    /// The token that is there, or a fresh one where there is none.
    pub fn take(secret: Option<&Secret>, fresh: &Self) -> Result<Self, Malformed> {
        let value = secret
            .and_then(|secret| secret.data.as_ref()?.get(TOKEN))
            .filter(|value| !value.0.is_empty());
        match value {
            Some(value) => Self::parse(&value.0),
            None => Ok(fresh.clone()),
        }
    }

    /// The token itself, for its Secret alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// A line with the token's SHA-256 in lower-case hex, as the API reads it.
    #[must_use]
    pub fn sha256_line(&self) -> String {
        format!("{:x}\n", Sha256::digest(self.reveal()))
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn holding(key: &str, value: &[u8]) -> Secret {
        Secret {
            data: Some([(key.to_owned(), ByteString(value.to_vec()))].into()),
            ..Secret::default()
        }
    }

    #[test]
    fn a_token_is_16_to_128_visible_ascii_characters() {
        for good in [
            "a".repeat(16),
            "~".repeat(128),
            "!\"#$%&'()*+,-./:;<=>?@".to_owned(),
        ] {
            assert_eq!(IngestToken::parse(good.as_bytes()).unwrap().reveal(), good);
        }
        for bad in [
            "a".repeat(15),
            "a".repeat(129),
            "sixteen and more".to_owned(),
            format!("{}\n", "a".repeat(20)),
            "é".repeat(16),
            format!("{}\u{7f}", "a".repeat(20)),
        ] {
            assert_eq!(IngestToken::parse(bad.as_bytes()), Err(Malformed), "{bad:?}");
        }
        assert_eq!(IngestToken::parse(&[0xff; 20]), Err(Malformed));
    }

    #[test]
    fn what_is_there_is_kept_and_only_where_nothing_is_there_one_is_made() {
        let fresh = IngestToken::generate().unwrap();
        let own = b"set-by-a-person-once";
        let kept = IngestToken::take(Some(&holding(TOKEN, own)), &fresh).unwrap();
        assert_eq!(kept.reveal().as_bytes(), own);
        for none in [
            None,
            Some(Secret::default()),
            Some(holding(TOKEN_SHA256, b"00")),
            Some(holding(TOKEN, b"")),
        ] {
            let made = IngestToken::take(none.as_ref(), &fresh).unwrap();
            assert_eq!(made, fresh);
        }
        assert_eq!(
            IngestToken::take(Some(&holding(TOKEN, b"too short")), &fresh),
            Err(Malformed)
        );
    }

    #[test]
    fn the_digest_is_a_line_of_lower_case_hex() {
        let token = IngestToken::parse(b"abcdefghijklmnop").unwrap();
        assert_eq!(
            token.sha256_line(),
            "f39dac6cbaba535e2c207cd0cd8f154974223c848f727f98b3564cea569b41cf\n"
        );
    }

    #[test]
    fn a_made_token_is_32_letters_and_digits_and_debug_shows_nothing_of_it() {
        let fresh = IngestToken::generate().unwrap();
        let token = fresh.reveal();
        assert_eq!(token.len(), 32);
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert!(!format!("{fresh:?} {:#?}", Some(&fresh)).contains(token));
    }
}
