//! A password, which is shown nowhere but in its Secret.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

/// The text of a password. Its `Debug` says nothing of it, so that whatever holds it can be logged.
#[derive(Clone, Eq, PartialEq)]
pub struct Password(String);

impl Password {
    /// 32 letters and digits, about 190 bits.
    pub fn generate() -> Result<Self, getrandom::Error> {
        const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut password = String::with_capacity(32);
        let mut bytes = [0_u8; 64];
        while password.len() < 32 {
            getrandom::fill(&mut bytes)?;
            // Bytes from 248 on would favour the first letters.
            let fair = bytes
                .iter()
                .filter(|&&byte| byte < 248)
                .map(|&byte| ALPHABET[usize::from(byte % 62)]);
            password.extend(fair.take(32 - password.len()).map(char::from));
        }
        Ok(Self(password))
    }

    /// What a Secret holds under a key, if it can be a password.
    #[must_use]
    pub fn of(secret: Option<&Secret>, key: &str) -> Option<Self> {
        value(secret, key).map(Self)
    }

    /// The password itself: for its Secret, and for what is derived from it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

/// A Secret's value, unless it is empty or holds what no password may: control characters.
pub(crate) fn value(secret: Option<&Secret>, key: &str) -> Option<String> {
    let data: &BTreeMap<String, ByteString> = secret?.data.as_ref()?;
    let text = String::from_utf8(data.get(key)?.0.clone()).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_password_is_32_letters_and_digits_and_differs_from_others() {
        let made = Password::generate().unwrap();
        assert_eq!(made.reveal().len(), 32);
        assert!(made.reveal().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(made, Password::generate().unwrap());
    }

    #[test]
    fn nothing_of_it_is_formatted() {
        let password = Password::from("hidden".to_owned());
        assert_eq!(
            format!("{password:?} {:#?}", Some(&password))
                .matches("hidden")
                .count(),
            0
        );
    }
}
