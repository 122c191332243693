//! A primary, its standbys, and a service that reaches the primary by an address which can be led elsewhere.

use std::sync::Arc;

use crate::batches::{CSV, DESTINATION, Ingest, ORIGIN, csv};
use crate::support::forward::Forwarder;
use crate::support::http::{EXAMPLE, Response};
use crate::support::postgres::{Postgres, number, uri_at};
use crate::support::program::Service;
use crate::support::{SOON, eventually};

pub const DAY: &str = "2023-05-01";

/// What a database pod has, so that standbys are known to follow a new primary at once.
const RECEIVER_TIMELINE: &str = "CREATE FUNCTION rates_internal.receiver_timeline() RETURNS integer
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'SELECT received_tli FROM pg_stat_wal_receiver';
    REVOKE ALL ON FUNCTION rates_internal.receiver_timeline() FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION rates_internal.receiver_timeline() TO rates_service";

pub struct Cluster {
    pub primary: Arc<Postgres>,
    pub standbys: Vec<Arc<Postgres>>,
    pub database: String,
    pub address: Forwarder,
}

impl Cluster {
    pub async fn start(postgres: &Postgres, standbys: usize) -> Self {
        let primary = Arc::new(postgres.another());
        let database = primary.seeded().await;
        let admin = primary.admin(&database).await;
        admin.batch_execute(RECEIVER_TIMELINE).await.unwrap();
        drop(admin);
        let standbys = (0..standbys).map(|_| Arc::new(primary.standby())).collect();
        let address = Forwarder::to(primary.port()).await;
        let cluster = Self {
            primary,
            standbys,
            database,
            address,
        };
        cluster.until_followed().await;
        cluster
    }

    /// Waits until all standbys have all that there is.
    pub async fn until_followed(&self) {
        let admin = self.primary.admin("postgres").await;
        let following = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()";
        let all = i64::try_from(self.standbys.len()).unwrap();
        eventually("all standbys follow", SOON, async || {
            (number(&admin, following).await == all).then_some(())
        })
        .await;
    }

    /// Commits wait for one of the standbys.
    pub async fn with_quorum(self) -> Self {
        wait_for_standbys(&self.primary).await;
        self
    }

    pub async fn ingest(&self, arguments: &[&str]) -> Ingest {
        let uri = uri_at(self.address.address.port(), &self.database);
        Ingest::at(&uri, self.database.clone(), arguments).await
    }

    /// Promotes a standby. The others follow it from a moment before: none has more than it has.
    pub async fn promote(&self, index: usize) -> &Arc<Postgres> {
        let next = &self.standbys[index];
        let admin = next.admin("postgres").await;
        let others: Vec<_> = self
            .standbys
            .iter()
            .filter(|other| !Arc::ptr_eq(other, next))
            .collect();
        for other in &others {
            other.follow(next).await;
        }
        let following = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        eventually("the others follow it", SOON, async || {
            (number(&admin, following).await == i64::try_from(others.len()).unwrap()).then_some(())
        })
        .await;
        admin.batch_execute("SELECT pg_promote()").await.unwrap();
        next
    }
}

/// Has the commits of a server wait for one of its standbys.
pub async fn wait_for_standbys(server: &Postgres) {
    let admin = server.admin("postgres").await;
    admin
        .batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
        .await
        .unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let waits =
        "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum' AND state = 'streaming'";
    eventually("a standby is waited for", SOON, async || {
        (number(&admin, waits).await > 0).then_some(())
    })
    .await;
}

/// Adds a price on the day.
pub async fn post(ingest: &Ingest, key: &str) -> Response {
    let key = format!("Idempotency-Key: {key}");
    ingest.post(&[CSV, &key], csv([(DAY, 7)])).await
}

/// How many prices the day has, as a read says.
pub async fn prices(ingest: &Ingest) -> i64 {
    let (count, _) = ingest.day(ORIGIN, DESTINATION, DAY).await;
    count.as_i64().unwrap_or(0)
}

pub async fn until_served(service: &Service) {
    eventually("reads are answered", SOON, async || {
        (service.get(EXAMPLE).await.status == 200).then_some(())
    })
    .await;
}

/// The connections of services that a server has.
pub async fn connections(server: &Postgres) -> i64 {
    let admin = server.admin("postgres").await;
    let statement = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'rates_a'";
    number(&admin, statement).await
}

/// A counter or gauge, by its name with labels.
pub async fn metric(service: &Service, name: &str) -> u64 {
    let name = format!("{name} ");
    let text = service.metrics().await;
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.map_or(0, |value| value.parse().unwrap())
}
