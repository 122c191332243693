//! The login with which an environment reads what it copies.

use k8s_openapi::api::core::v1::Secret;

use crate::password::{Password, value};

pub const USERNAME: &str = "username";
pub const PASSWORD: &str = "password";
pub const URI: &str = "uri";
/// What the source's server checks the password by (RFC 5803).
pub const VERIFIER: &str = "verifier";

/// A reader's login: the password is for its own Job, the verifier for the source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CopyLogin {
    pub username: String,
    pub password: Password,
    pub verifier: Password,
}

impl CopyLogin {
    /// What the reader's Secret holds; made anew, with a password that nobody used yet, where something is missing.
    #[must_use]
    pub fn take(secret: Option<&Secret>, uid: &str, fresh: &Password) -> Self {
        let found = Password::of(secret, PASSWORD).zip(verifier(secret));
        let (password, verifier) = found.unwrap_or_else(|| {
            let verifier = postgres_protocol::password::scram_sha_256(fresh.reveal().as_bytes());
            (fresh.clone(), verifier.into())
        });
        Self {
            username: username(uid),
            password,
            verifier,
        }
    }
}

/// The login's name, by the environment's uid.
#[must_use]
pub fn username(uid: &str) -> String {
    let digits: String = uid.chars().filter(|&digit| digit != '-').take(12).collect();
    format!("rates_copy_{digits}")
}

/// The verifier that a Secret holds, if it is one: whoever may write the Secret sends it to the source's server.
pub(super) fn verifier(secret: Option<&Secret>) -> Option<Password> {
    let text = value(secret, VERIFIER)?;
    let (iterations, rest) = text.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
    let (salt, keys) = rest.split_once('$')?;
    let (stored, server) = keys.split_once(':')?;
    let is_base64 = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed)
    };
    let is_verifier = iterations.parse::<u16>().is_ok() && [salt, stored, server].into_iter().all(is_base64);
    is_verifier.then(|| text.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;

    use super::*;

    const UID: &str = "0f3c1a2b-44d5-4e6f-8a9b-0c1d2e3f4a5b";

    fn secret(login: &CopyLogin) -> Secret {
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = BTreeMap::from([
            (PASSWORD.to_owned(), bytes(login.password.reveal())),
            (VERIFIER.to_owned(), bytes(login.verifier.reveal())),
        ]);
        Secret {
            data: Some(data),
            ..Secret::default()
        }
    }

    #[test]
    fn a_login_is_made_once_and_kept_as_it_is_found() {
        let fresh = |letter: &str| Password::from(letter.repeat(32));
        let made = CopyLogin::take(None, UID, &fresh("a"));
        assert_eq!(made.username, "rates_copy_0f3c1a2b44d5");
        assert!(made.verifier.reveal().starts_with("SCRAM-SHA-256$4096:"));
        assert_eq!(CopyLogin::take(Some(&secret(&made)), UID, &fresh("b")), made);
        let shown = format!("{made:?}");
        assert!(!shown.contains("aaa") && !shown.contains("SCRAM"), "{shown}");
    }

    #[test]
    fn what_is_no_verifier_is_not_passed_on() {
        let mut login = CopyLogin::take(None, UID, &Password::from("a".repeat(32)));
        for text in [
            "md5aaaa",
            "SCRAM-SHA-256$4096:a$b",
            "SCRAM-SHA-256$many:a$b:c",
            "SCRAM-SHA-256$4096:a$b:c'; DROP TABLE prices; --",
        ] {
            login.verifier = Password::from(text.to_owned());
            assert_eq!(verifier(Some(&secret(&login))), None, "{text}");
        }
    }
}
