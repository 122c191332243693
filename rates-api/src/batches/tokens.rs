//! Who may write: bearer tokens (RFC 6750), of which only SHA-256 digests are known here, and whose they are.
//!
//! The file has a digest a line. A line `# owner: NAME` says whose the tokens below it are, as far as the next such
//! line. It is a comment to the release before, which then treats each token as an owner of its own.

use std::path::Path;

use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The SHA-256 digest of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest(pub [u8; 32]);

/// Whose batches and keys they are. A person or program keeps its name when its token is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub name: String,
    /// All its tokens that are known: programs of the release before note these, and no name.
    pub tokens: Vec<TokenDigest>,
}

/// Who sends a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    pub owner: Owner,
    /// The token that it came with.
    pub token: TokenDigest,
}

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

/// Who sends the request, if its token is one of those in the file.
///
/// # Errors
/// When the request has no token, or an unknown one, or the file cannot be read: then none is known.
pub async fn authorize(
    authorization: Option<&HeaderValue>,
    file: Option<&Path>,
) -> Result<Writer, Unauthorized> {
    let value = authorization.ok_or(Unauthorized::Missing)?;
    let token = bearer(value.as_bytes()).ok_or(Unauthorized::Form)?;
    let token = TokenDigest(Sha256::digest(token).into());
    // All are compared, each in constant time: how long it takes says nothing about them.
    owners(file)
        .await
        .into_iter()
        .fold(
            None,
            |found, owner| if owner.has(token) { Some(owner) } else { found },
        )
        .map(|owner| Writer { owner, token })
        .ok_or(Unauthorized::Unknown)
}

impl Owner {
    fn has(&self, token: TokenDigest) -> bool {
        let found = self
            .tokens
            .iter()
            .fold(0, |found, known| found | known.0.ct_eq(&token.0).unwrap_u8());
        found == 1
    }
}

/// The token of `Bearer TOKEN`; the scheme is case-insensitive.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(6)?;
    let token = token.strip_prefix(b" ")?.trim_ascii();
    let plain = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
    (scheme.eq_ignore_ascii_case(b"bearer") && plain).then_some(token)
}

/// The owners in the file. A line that is no digest is named in the log by its number, and passed over.
pub async fn owners(file: Option<&Path>) -> Vec<Owner> {
    let Some(file) = file else { return Vec::new() };
    match tokio::fs::read_to_string(file).await {
        Ok(text) => parse(&text),
        Err(error) => {
            tracing::error!(file = %file.display(), %error, "the digests of tokens cannot be read, so no token is known");
            Vec::new()
        }
    }
}

fn parse(text: &str) -> Vec<Owner> {
    let mut owners: Vec<Owner> = Vec::new();
    let mut named: Option<&str> = None;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if let Some(name) = line.strip_prefix("# owner:") {
            named = Some(name.trim()).filter(|name| !name.is_empty());
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(token) = decode(line) else {
            tracing::error!(
                line = number,
                "a line of the tokens' digests is not 64 hexadecimal digits"
            );
            continue;
        };
        // A token that nobody is named for is its own owner.
        let name = named.map_or_else(|| format!("sha256:{}", line.to_ascii_lowercase()), str::to_owned);
        match owners.iter_mut().find(|owner| owner.name == name) {
            Some(owner) => owner.tokens.push(token),
            None => owners.push(Owner {
                name,
                tokens: vec![token],
            }),
        }
    }
    owners
}

fn decode(line: &str) -> Option<TokenDigest> {
    let mut digest = [0; 32];
    if line.len() != 64 || !line.is_ascii() {
        return None;
    }
    for (byte, start) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&line[start..start + 2], 16).ok()?;
    }
    Some(TokenDigest(digest))
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
            authorize("Bearer one").await.unwrap().token.0[..],
            Sha256::digest("one")[..]
        );
        assert!(authorize("Bearer two").await.is_ok());
        assert!(matches!(
            authorize("Bearer three").await,
            Err(Unauthorized::Unknown)
        ));
    }

    #[test]
    fn a_line_says_whose_the_tokens_below_it_are() {
        let line = |digit: &str| digit.repeat(64);
        let token = |byte| TokenDigest([byte; 32]);
        let text = [
            line("1"),
            "# owner: anna".to_owned(),
            "# her laptop, her server".to_owned(),
            line("2"),
            line("A"),
            "# owner: ben b.".to_owned(),
            line("3"),
            "# owner:".to_owned(),
            line("b"),
            "# owner: anna".to_owned(),
            line("4"),
        ]
        .join("\r\n");
        let owner = |name: &str, tokens: &[u8]| Owner {
            name: name.to_owned(),
            tokens: tokens.iter().copied().map(token).collect(),
        };
        assert_eq!(
            parse(&text),
            [
                owner(&format!("sha256:{}", line("1")), &[0x11]),
                owner("anna", &[0x22, 0xaa, 0x44]),
                owner("ben b.", &[0x33]),
                owner(&format!("sha256:{}", line("b")), &[0xbb]),
            ]
        );
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
