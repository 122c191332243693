//! Content of batches: mostly good rows, some of the wrong type, size or shape.

use serde_json::{Value, json};

use crate::support::random::Random;

/// Ports of the bundled seed, a region, and none.
pub const CODES: [&str; 6] = ["CNGGZ", "EETLL", "NLRTM", "CNSGH", "northern_europe", "nowhere"];

pub fn day(random: &mut Random) -> String {
    let (year, month, day) = (2016 + random.below(6), 1 + random.below(12), 1 + random.below(28));
    format!("{year}-{month:02}-{day:02}")
}

/// A media type, and content that is meant for it.
pub fn random(random: &mut Random) -> (&'static str, Vec<u8>) {
    let rows: Vec<Value> = (0..random.below(30)).map(|_| row(random)).collect();
    match random.below(3) {
        0 => {
            let whole = match random.below(8) {
                0 => json!({ "prices": rows }),
                1 => json!({ "prices": rows, "more": 1 }),
                2 => odd(random),
                _ => Value::Array(rows),
            };
            ("application/json", whole.to_string().into_bytes())
        }
        1 => {
            let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
            ("application/x-ndjson", lines.join("\n").into_bytes())
        }
        _ => {
            let mut text = "orig_code,dest_code,day,price\n".to_owned();
            for row in &rows {
                let fields = ["orig_code", "dest_code", "day", "price"].map(|name| match &row[name] {
                    Value::String(field) => field.clone(),
                    other => other.to_string(),
                });
                text.push_str(&fields.join(","));
                text.push_str(if random.one_in(40) { "\"\r\r\n" } else { "\n" });
            }
            ("text/csv", text.into_bytes())
        }
    }
}

fn row(random: &mut Random) -> Value {
    let mut row = json!({
        "orig_code": random.pick(&CODES[..4]),
        "dest_code": random.pick(&CODES[..4]),
        "day": day(random),
        "price": 1 + random.below(9000),
    });
    if random.one_in(60) {
        let field = *random.pick(&["orig_code", "dest_code", "day", "price", "more"]);
        row[field] = odd(random);
    }
    if random.one_in(200) {
        return odd(random);
    }
    row
}

/// A value of some type, some of them huge or deep.
fn odd(random: &mut Random) -> Value {
    match random.below(10) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(1.5),
        4 => json!(u64::MAX),
        5 => json!("x".repeat(usize::try_from(random.below(20_000)).unwrap())),
        6 => json!("\u{0}\u{fffd}\u{202e}\u{1f6a2}"),
        7 => json!([[[[[[]]]]]]),
        8 => json!({ "": {} }),
        _ => (0..random.below(300)).fold(json!(0), |inner, _| json!([inner])),
    }
}
