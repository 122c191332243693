//! The rules of `spec.lifetime`, each met and broken.

use serde_json::{Value, json};

use crate::admission::{accepts, refuses};
use crate::server;

fn lifetime(value: &Value) -> Value {
    json!({"lifetime": value})
}

#[test]
fn a_lifetime_is_given_in_hours_minutes_and_seconds() {
    let server = server::shared();
    accepts(server, &lifetime(&json!({})));
    for field in ["ttl", "sleepAfter"] {
        for good in ["1m", "60s", "72h", "2h30m", "1h0m1s", "8760h"] {
            accepts(server, &lifetime(&json!({field: good})));
        }
        for malformed in ["", "h", "72", "3d", "30m2h", "1.5h", "-2h", "2h 30m"] {
            let answer = format!("spec.lifetime.{field}");
            refuses(server, &lifetime(&json!({field: malformed})), &answer);
        }
    }
}

#[test]
fn a_lifetime_is_from_a_minute_to_a_year() {
    let server = server::shared();
    for out in ["59s", "0h", "8760h1s", "99999h"] {
        let says = "lifetime.ttl must be from 1m to 8760h, such as 72h";
        refuses(server, &lifetime(&json!({"ttl": out})), says);
        let says = "lifetime.sleepAfter must be from 1m to 8760h, such as 2h";
        refuses(server, &lifetime(&json!({"sleepAfter": out})), says);
    }
}

#[test]
fn production_does_not_sleep_and_may_expire() {
    let server = server::shared();
    for profile in ["Staging", "Preview"] {
        accepts(
            server,
            &json!({"profile": profile, "lifetime": {"sleepAfter": "1h"}}),
        );
    }
    accepts(
        server,
        &json!({"profile": "Production", "lifetime": {"ttl": "8760h", "sleepAfter": null}}),
    );
    refuses(
        server,
        &json!({"profile": "Production", "lifetime": {"sleepAfter": "1h"}}),
        "spec.lifetime.sleepAfter is not for the profile Production, whose environments always run",
    );
}
