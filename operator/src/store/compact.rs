//! Objects as few bytes: their JSON, compressed by what it has in common with the first of its kind.
//!
//! Children of one kind differ in names and little else, so that most of an object is a reference
//! into that first one: about a tenth of its JSON is left.

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How far back a compressed text can refer.
const WINDOW: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("cannot be unpacked")]
    Unpack(#[from] lz4_flex::block::DecompressError),
}

/// Packs objects of one kind.
#[derive(Default)]
pub struct Packer {
    /// The JSON of the first object, for as long as the process lives.
    first: Option<Box<[u8]>>,
}

impl Packer {
    pub fn pack<K: Serialize>(&mut self, object: &K) -> Result<Box<[u8]>, Error> {
        let json = serde_json::to_vec(object)?;
        let first = self
            .first
            .get_or_insert_with(|| json.get(..WINDOW).unwrap_or(&json).into());
        Ok(compress_prepend_size_with_dict(&json, first).into_boxed_slice())
    }

    pub fn unpack<K: DeserializeOwned>(&self, packed: &[u8]) -> Result<K, Error> {
        let first = self.first.as_deref().unwrap_or_default();
        let json = decompress_size_prepended_with_dict(packed, first)?;
        Ok(serde_json::from_slice(&json)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_alike_takes_little_and_comes_back_as_it_was() {
        let mut packer = Packer::default();
        let object = |name: &str| {
            let env: Vec<Value> = (0..40)
                .map(|number| json!({"name": format!("SETTING_{number}"), "value": "as everywhere"}))
                .collect();
            json!({"metadata": {"name": name, "labels": {"of": name}}, "spec": {"env": env}})
        };
        let first = packer.pack(&object("first")).unwrap();
        let second = packer.pack(&object("second")).unwrap();
        assert!(second.len() < 100, "{}", second.len());
        assert_eq!(packer.unpack::<Value>(&first).unwrap(), object("first"));
        assert_eq!(packer.unpack::<Value>(&second).unwrap(), object("second"));
    }
}
