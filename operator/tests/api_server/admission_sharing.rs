//! The rules of `spec.sharing` and of the source of a copy, met and broken.

use serde_json::{Value, json};

use crate::admission::{accepts, refuses};
use crate::server;

#[test]
fn masks_are_of_a_closed_list_and_within_bounds() {
    let server = server::shared();
    let sharing = |entry: Value| json!({"sharing": [entry]});
    let masked = |mask: Value| sharing(json!({"namespaces": ["previews"], "mask": mask}));
    accepts(server, &sharing(json!({"namespaces": ["*"]})));
    accepts(
        server,
        &masked(json!({
            "prices": {"constant": 0}, "days": {"shift": -3650},
            "portNames": {"constant": "a port"}, "regionNames": {"constant": "a région"},
        })),
    );
    accepts(server, &masked(json!({"prices": {"noise": 100}})));
    let one = "sharing.mask.prices has exactly one member";
    refuses(server, &masked(json!({"prices": {}})), one);
    refuses(
        server,
        &masked(json!({"prices": {"noise": 1, "constant": 1}})),
        one,
    );
    refuses(
        server,
        &masked(json!({"prices": {"null": true}})),
        "a price cannot be null in the tables: write constant: 0",
    );
    refuses(
        server,
        &masked(json!({"portNames": {"null": true}})),
        "cannot be null in the tables: write constant",
    );
    refuses(
        server,
        &masked(json!({"regionNames": {}})),
        "have the member constant",
    );
    refuses(
        server,
        &masked(json!({"portNames": {"constant": "a\nb"}})),
        "should match",
    );
    refuses(
        server,
        &masked(json!({"prices": {"noise": 0}})),
        "noise is a percentage, 1 to 100",
    );
    refuses(
        server,
        &masked(json!({"prices": {"constant": -1}})),
        "from 0 to 1000000000",
    );
    refuses(
        server,
        &masked(json!({"days": {"shift": 3651}})),
        "from -3650 to 3650",
    );
    refuses(server, &masked(json!({"parents": {}})), "unknown field");
    refuses(
        server,
        &sharing(json!({"namespaces": []})),
        "should have at least 1 items",
    );
    refuses(
        server,
        &sharing(json!({"namespaces": ["Previews"]})),
        "should match",
    );
    refuses(
        server,
        &sharing(json!({"namespaces": ["previews"], "sample": 0})),
        "1 to 100: leave it out",
    );
    refuses(
        server,
        &json!({"sharing": vec![json!({"namespaces": ["*"]}); 9]}),
        "must have at most 8 items",
    );
    let copied = |source: Value| json!({"database": {"seed": {"environment": source}}});
    accepts(server, &copied(json!({"name": "staging"})));
    accepts(
        server,
        &copied(json!({"name": "harbour-7", "namespace": "rates"})),
    );
    refuses(
        server,
        &copied(json!({"name": "harbour-7"})),
        "names this environment itself",
    );
    refuses(server, &copied(json!({"name": "Staging"})), "should match");
    refuses(
        server,
        &copied(json!({})),
        "spec.database.seed.environment.name: Required value",
    );
}
