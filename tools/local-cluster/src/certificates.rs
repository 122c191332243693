//! The cluster's own certificate authority and what it signs.

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// A certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub certificate: String,
    pub key: String,
}

/// Who a certificate speaks for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The user's name to the API server.
    pub name: &'a str,
    /// The user's group.
    pub group: Option<&'a str>,
    /// Host names and addresses, for one that also serves.
    pub serves: &'a [String],
}

/// Signs certificates; lives as long as it takes to make a cluster's files.
pub struct Authority {
    pub certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Result<Self> {
        let mut parameters = parameters(&[])?;
        parameters.distinguished_name = distinguished_name(name, None);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let key = KeyPair::generate().context("cannot make a key")?;
        let certificate = parameters
            .self_signed(&key)
            .context("cannot sign the authority's certificate")?;
        let pair = Certificate {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        };
        Ok(Self {
            certificate: pair,
            issuer: Issuer::new(parameters, key),
        })
    }

    pub fn issue(&self, subject: Subject<'_>) -> Result<Certificate> {
        let mut parameters = parameters(subject.serves)?;
        parameters.distinguished_name = distinguished_name(subject.name, subject.group);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate().context("cannot make a key")?;
        let certificate = parameters
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("cannot sign the certificate of {}", subject.name))?;
        Ok(Certificate {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// The pair that signs service accounts' tokens: private and public key, both PEM.
pub fn token_keys() -> Result<(String, String)> {
    let key = KeyPair::generate().context("cannot make a key")?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

fn parameters(serves: &[String]) -> Result<CertificateParams> {
    let mut parameters =
        CertificateParams::new(serves.to_vec()).context("a name that no certificate can hold")?;
    // A local cluster outlives no machine, and a clock that is wrong must not stop it.
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2120, 1, 1);
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}

fn distinguished_name(name: &str, group: Option<&str>) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    if let Some(group) = group {
        distinguished.push(DnType::OrganizationName, group);
    }
    distinguished.push(DnType::CommonName, name);
    distinguished
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_signs_what_serves_names_and_addresses() {
        let authority = Authority::new("test").unwrap();
        let serves = ["localhost".to_owned(), "198.19.0.2".to_owned()];
        let issued = authority
            .issue(Subject {
                name: "kube-apiserver",
                group: None,
                serves: &serves,
            })
            .unwrap();
        assert!(issued.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(issued.key.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_ne!(issued.certificate, authority.certificate.certificate);
    }

    #[test]
    fn token_keys_are_a_private_and_a_public_one() {
        let (private, public) = token_keys().unwrap();
        assert!(private.contains("PRIVATE KEY"));
        assert!(public.contains("PUBLIC KEY"));
    }
}
