//! The keys of annotations: those that the operator and the database pods write, and those by which people ask for
//! something. What the values mean is said where they are written.

/// Of an environment: "true" makes it follow the operator's default images instead of keeping those of its creation.
pub const FOLLOW_IMAGES: &str = "rates.internal/follow-operator-images";
/// Of an environment: another value asks for another password.
pub const ROTATE_PASSWORD: &str = "rates.internal/rotate-password";
/// Of an environment: any new value asks for a new ingest token.
pub const ROTATE_INGEST_TOKEN: &str = "rates.internal/rotate-ingest-token";
/// Of an environment: moves the primary to the standby with this name, or to `any`.
pub const SWITCHOVER: &str = "rates.internal/switchover";
/// Of an environment: makes the instance with this name the primary although it may lack what was acknowledged.
pub const FAILOVER: &str = "rates.internal/failover";
/// Of an environment: gives the instance with this name a new volume.
pub const REPLACE: &str = "rates.internal/replace";
/// Of an environment: another value asks for another password of the replication.
pub const ROTATE_REPLICATION_PASSWORD: &str = "rates.internal/rotate-replication-password";
/// Of an environment: sends it to sleep, whatever the value.
pub const SLEEP: &str = "rates.internal/sleep";
/// Of an environment: wakes it, whatever the value.
pub const WAKE: &str = "rates.internal/wake";

/// Of every child: the digest of what was last applied.
pub const APPLIED: &str = "rates.internal/applied";
/// Of a `StatefulSet` or a Deployment: which release wrote the template of its pods, and the template's digest.
pub const TEMPLATE: &str = "rates.internal/template";
/// Of the API's Deployment: the revision as it is written in the status, as JSON.
pub const WRITTEN_REVISION: &str = "rates.internal/written-revision";
/// Of the API's pods and their template: the digest of the revision that they are made of.
pub const REVISION: &str = "rates.internal/revision";
/// Of the API's pods: since which rotation of the ingest token they are there.
pub const INGEST_TOKEN_ROTATION: &str = "rates.internal/ingest-token-rotation";
/// Of the application's Secret and of the API's pods: the id of the login.
pub const LOGIN: &str = "rates.internal/login";
/// Of a Job: the number of the attempt at its inputs.
pub const ATTEMPT: &str = "rates.internal/attempt";
/// Of a Job: what the attempt before it said.
pub const LAST_FAILURE: &str = "rates.internal/last-failure";
/// Of a seed Job: "true" where the source refused the copy before it.
pub const REFUSED: &str = "rates.internal/refused";
/// Of a database pod and its template: the digest of the parameters that it was last restarted for.
pub const RESTARTED_FOR: &str = "rates.internal/restarted-for";
/// Of an instance's claim: the system identifier of the data of which it holds a copy.
pub const HOLDS: &str = "rates.internal/holds";
/// Of a pod: the digest of the Secrets that it was refreshed for.
pub const REFRESHED_FOR: &str = "rates.internal/refreshed-for";

/// Of the Secret with the ingest token: the value of [`ROTATE_INGEST_TOKEN`] whose token is published.
pub const ROTATED_INGEST_TOKEN: &str = "rates.internal/rotated-ingest-token";
/// Of the Secret with the ingest token: when the token before is refused.
pub const PREVIOUS_INGEST_TOKEN_UNTIL: &str = "rates.internal/previous-ingest-token-until";

/// Of a database pod: the id of the next login that works.
pub const NEXT_LOGIN: &str = "rates.internal/next-login";
/// Of a database pod: the Jobs' own login, where it works.
pub const MIGRATOR: &str = "rates.internal/migrator";
/// Of a database pod whose server does not start: why, in the server's words.
pub const START_FAILURE: &str = "rates.internal/start-failure";
/// Of a database pod of an image that the operator does not know: the server's version.
pub const POSTGRES_VERSION: &str = "rates.internal/postgres-version";

/// Of a database pod: the member's state, which Patroni writes.
pub const PATRONI_STATUS: &str = "status";
/// Of the `ConfigMap` NAME-postgres-config: the system identifier of the data, which Patroni writes.
pub const PATRONI_INITIALIZE: &str = "initialize";
/// Of the `ConfigMaps` NAME-postgres-leader and NAME-postgres-sync: the primary, which Patroni writes.
pub const PATRONI_LEADER: &str = "leader";
/// Of the `ConfigMap` NAME-postgres-sync: the standbys for which commits wait, comma-separated.
pub const PATRONI_STANDBYS: &str = "sync_standby";
/// Of that `ConfigMap`: of how many other standbys one of them has to hear before it may take over.
pub const PATRONI_QUORUM: &str = "quorum";
/// Of NAME-postgres-leader: when its holder last renewed it.
pub const PATRONI_RENEWED: &str = "renewTime";
/// Of NAME-postgres-leader: the end of the log at that time, in bytes.
pub const PATRONI_OPTIME: &str = "optime";
/// Of NAME-postgres-failover, with [`PATRONI_LEADER`] for the primary to be relieved: the standby that is to take over.
pub const PATRONI_MEMBER: &str = "member";
/// Of NAME-postgres-failover: what the operator is carrying out, as JSON.
pub const REPLICATION_ACT: &str = "rates.internal/act";
/// Of the `ConfigMap` NAME-postgres-config: the settings of the cluster, which Patroni reads.
pub const PATRONI_CONFIG: &str = "config";
/// Of that `ConfigMap`: the names of the parameters in [`PATRONI_CONFIG`] that are the operator's.
pub const PARAMETERS: &str = "rates.internal/parameters";
/// Of that `ConfigMap`: the digest of what in [`PATRONI_CONFIG`] is the operator's, as it was written last.
pub const SETTINGS: &str = "rates.internal/settings";
