//! Who may write: bearer tokens (RFC 6750), of which only SHA-256 digests are known here.

use std::path::Path;

use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The SHA-256 digest of a token that may write: whose batches and keys they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest(pub [u8; 32]);

/// Why a request may not write.
#[derive(Debug, thiserror::Error)]
pub enum Unauthorized {
    #[error("A batch needs a token: `Authorization: Bearer TOKEN`.")]
    Missing,
    #[error("The header Authorization is not of the form `Bearer TOKEN`.")]
    Form,
    #[error("The token is not known.")]
    Unknown,
}

/// The digest of the request's token, if that is one of those in the file.
///
/// # Errors
/// When the request has no token, or an unknown one, or the file cannot be read: then none is known.
pub async fn authorize(
    authorization: Option<&HeaderValue>,
    file: Option<&Path>,
) -> Result<TokenDigest, Unauthorized> {
    let value = authorization.ok_or(Unauthorized::Missing)?;
    let token = bearer(value.as_bytes()).ok_or(Unauthorized::Form)?;
    let digest: [u8; 32] = Sha256::digest(token).into();
    let known = match file {
        Some(file) => read(file).await,
        None => Vec::new(),
    };
    // All are compared, each in constant time: how long it takes says nothing about them.
    let matches = known
        .iter()
        .fold(0, |found, known| found | known.ct_eq(&digest).unwrap_u8());
    if matches == 1 {
        Ok(TokenDigest(digest))
    } else {
        Err(Unauthorized::Unknown)
    }
}

/// The token of `Bearer TOKEN`; the scheme is case-insensitive.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(6)?;
    let token = token.strip_prefix(b" ")?.trim_ascii();
    let plain = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
    (scheme.eq_ignore_ascii_case(b"bearer") && plain).then_some(token)
}

/// The digests in the file. A line that is none is named in the log by its number, and passed over.
async fn read(file: &Path) -> Vec<[u8; 32]> {
    match tokio::fs::read_to_string(file).await {
        Ok(text) => digests(&text),
        Err(error) => {
            tracing::error!(file = %file.display(), %error, "the digests of tokens cannot be read, so no token is known");
            Vec::new()
        }
    }
}

fn digests(text: &str) -> Vec<[u8; 32]> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let meant = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    meant
        .filter_map(|(number, line)| {
            let digest = decode(line);
            if digest.is_none() {
                tracing::error!(
                    line = number,
                    "a line of the tokens' digests is not 64 hexadecimal digits"
                );
            }
            digest
        })
        .collect()
}

fn decode(line: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if line.len() != 64 || !line.is_ascii() {
        return None;
    }
    for (byte, start) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&line[start..start + 2], 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_one_word() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bEARER  a-b._~+/= "), Some(&b"a-b._~+/="[..]));
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Basic abc",
            "Bearerabc",
            "Bearer a b",
            "Bearer\tabc",
            "Bearer ä",
        ] {
            assert_eq!(bearer(value.as_bytes()), None, "{value}");
        }
    }

    #[tokio::test]
    async fn a_token_is_known_by_its_digest_and_several_are_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = |token: &str| format!("{:x}\n", Sha256::digest(token));
        std::fs::write(
            file.path(),
            format!("# two\n{}\nnonsense\n{}", line("one"), line("two").to_uppercase()),
        )
        .unwrap();
        let authorize = async |value: &'static str| {
            authorize(Some(&HeaderValue::from_static(value)), Some(file.path())).await
        };
        assert_eq!(
            authorize("Bearer one").await.unwrap().0[..],
            Sha256::digest("one")[..]
        );
        assert!(authorize("Bearer two").await.is_ok());
        assert!(matches!(
            authorize("Bearer three").await,
            Err(Unauthorized::Unknown)
        ));
    }

    #[tokio::test]
    async fn without_digests_no_token_is_known() {
        let value = HeaderValue::from_static("Bearer one");
        for file in [None, Some(Path::new("/nowhere/digests"))] {
            assert!(matches!(
                authorize(Some(&value), file).await,
                Err(Unauthorized::Unknown)
            ));
        }
        assert!(matches!(authorize(None, None).await, Err(Unauthorized::Missing)));
    }
}
