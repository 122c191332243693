//! The Secrets: the application's login and the Jobs', what only database pods may know, and the token
//! that batches come with.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::annotations::{LOGIN, PREVIOUS_INGEST_TOKEN_UNTIL, ROTATED_INGEST_TOKEN};
use crate::copies::{PASSWORD, URI, USERNAME, VERIFIER};
use crate::credentials::{
    COPIES, MIGRATOR, MIGRATOR_PASSWORD, NEXT_ID, NEXT_PASSWORD, NEXT_USERNAME, PATRONI_PASSWORD,
    REPLICATION_PASSWORD, REPLICATION_ROTATION, RETIRED_USERNAME, ROTATION, SUPERUSER_PASSWORD, other_login,
    uri,
};
use crate::identity::{Component, Lifetime};
use crate::ingest_token::{TOKEN, TOKEN_SHA256};
use crate::password::Password;
use crate::plan::{Copy, Environment, Rotation};
use crate::token_rotation::{NEXT, PREVIOUS_SHA256, Previous};

const PORT: u16 = 5432;
/// The database that the API serves.
const DATABASE: &str = "rates";

/// The key of the URI for reads that may be a moment old.
pub const READ_URI: &str = "read-uri";

/// What an application needs to connect.
pub fn app(environment: &Environment) -> Secret {
    let credentials = &environment.database.credentials;
    let mut metadata = database_metadata(environment, environment.identity.postgres());
    if let Some(id) = &credentials.id {
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(LOGIN.to_owned(), id.clone());
    }
    let mut secret = login(
        environment,
        metadata,
        &credentials.username,
        &credentials.password,
    );
    let host = environment.identity.postgres_ro_host();
    let uri = uri(
        &credentials.username,
        &credentials.password,
        &host,
        PORT,
        DATABASE,
    );
    let data = secret.data.get_or_insert_default();
    data.insert(READ_URI.to_owned(), ByteString(uri.into_bytes()));
    secret
}

/// What the Jobs need to connect, as the login that makes and changes tables.
pub fn migrator(environment: &Environment) -> Secret {
    let metadata = database_metadata(environment, environment.identity.postgres_migrator());
    let password = &environment.database.credentials.migrator_password;
    login(environment, metadata, MIGRATOR, password)
}

fn login(environment: &Environment, metadata: ObjectMeta, username: &str, password: &Password) -> Secret {
    let host = environment.identity.postgres_host();
    let uri = uri(username, password, &host, PORT, DATABASE);
    secret(
        metadata,
        &[
            ("host", &host),
            ("port", &PORT.to_string()),
            ("dbname", DATABASE),
            ("username", username),
            ("password", password.reveal()),
            ("uri", &uri),
        ],
    )
}

/// What Patroni needs, mounted by database pods only.
pub fn admin(environment: &Environment) -> Secret {
    let credentials = &environment.database.credentials;
    let mut entries: Vec<(&str, &str)> = vec![
        (SUPERUSER_PASSWORD, credentials.superuser_password.reveal()),
        (REPLICATION_PASSWORD, credentials.replication_password.reveal()),
        (PATRONI_PASSWORD, credentials.patroni_password.reveal()),
        (MIGRATOR_PASSWORD, credentials.migrator_password.reveal()),
    ];
    let copies = environment.readers.entries();
    entries.extend(copies.iter().map(|copies| (COPIES, copies.as_str())));
    let replication = environment.database.replication_rotation.as_deref();
    entries.extend(replication.map(|rotation| (REPLICATION_ROTATION, rotation)));
    match &environment.database.rotation {
        Rotation::Preparing(next) | Rotation::Switching(next) => entries.extend([
            (NEXT_USERNAME, next.username.as_str()),
            (NEXT_PASSWORD, next.password.reveal()),
            (NEXT_ID, &next.id),
            (ROTATION, &next.rotation),
        ]),
        Rotation::Settled { rotation } => {
            entries.extend(rotation.iter().map(|rotation| (ROTATION, rotation.as_str())));
            entries.push((RETIRED_USERNAME, other_login(&credentials.username)));
        }
    }
    secret(
        database_metadata(environment, environment.identity.postgres_admin()),
        &entries,
    )
}

/// What the seed Job needs to connect to the environment whose data it copies.
pub fn copy(environment: &Environment) -> Option<Secret> {
    let Copy { source, login } = environment.copy.as_ref()?;
    let identity = &environment.identity;
    let host = source.identity().postgres_host();
    let uri = uri(&login.username, &login.password, &host, PORT, DATABASE);
    Some(secret(
        identity.metadata(identity.copy(), Component::Seed),
        &[
            (USERNAME, &login.username),
            (PASSWORD, login.password.reveal()),
            (VERIFIER, login.verifier.reveal()),
            (URI, &uri),
        ],
    ))
}

/// The token that batches come with, and the digests of all that are accepted, which alone are
/// mounted. It opens nothing
/// that outlives the environment.
pub fn token(environment: &Environment) -> Option<Secret> {
    let identity = &environment.identity;
    let tokens = environment.ingest_tokens.as_ref().ok()?;
    let mut metadata = identity.metadata(identity.api(), Component::Api);
    let digests = tokens.sha256_lines();
    let mut entries = vec![(TOKEN, tokens.current.reveal()), (TOKEN_SHA256, &digests)];
    entries.extend(tokens.next.iter().map(|next| (NEXT, next.reveal())));
    let mut annotations = BTreeMap::new();
    annotations.extend(
        tokens
            .rotated
            .clone()
            .map(|rotated| (ROTATED_INGEST_TOKEN.to_owned(), rotated)),
    );
    if let Some(Previous { sha256_line, until }) = &tokens.previous {
        entries.push((PREVIOUS_SHA256, sha256_line));
        annotations.insert(PREVIOUS_INGEST_TOKEN_UNTIL.to_owned(), until.to_string());
    }
    metadata.annotations = Some(annotations).filter(|annotations| !annotations.is_empty());
    Some(secret(metadata, &entries))
}

fn database_metadata(environment: &Environment, name: String) -> ObjectMeta {
    environment
        .identity
        .metadata_living(name, Component::Postgres, lifetime(environment))
}

fn secret(metadata: ObjectMeta, entries: &[(&str, &str)]) -> Secret {
    let data: BTreeMap<String, ByteString> = entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())))
        .collect();
    Secret {
        metadata,
        type_: Some("Opaque".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

/// How long the volume, and the Secrets that open it, live.
pub const fn lifetime(environment: &Environment) -> Lifetime {
    if environment.database.retain {
        Lifetime::Retained
    } else {
        Lifetime::WithEnvironment
    }
}
