//! Objects as few bytes: their JSON, compressed by what it has in common with an example of its kind.
//!
//! Children of one kind differ in names and little else, so that most of an object is a reference
//! into that example, the first that was seen: about a tenth of its JSON is left.

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};

use super::watched::Watched;

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
    /// The JSON of the first object's example, for as long as the process lives.
    example: Option<Box<[u8]>>,
}

impl Packer {
    pub fn pack<K: Watched>(&mut self, object: &K) -> Result<Box<[u8]>, Error> {
        let json = serde_json::to_vec(object)?;
        let example = match &mut self.example {
            Some(example) => example,
            none => {
                let example = serde_json::to_vec(&object.example())?;
                none.insert(example.get(..WINDOW).unwrap_or(&example).into())
            }
        };
        Ok(compress_prepend_size_with_dict(&json, example).into_boxed_slice())
    }

    pub fn unpack<K: Watched>(&self, packed: &[u8]) -> Result<K, Error> {
        let example = self.example.as_deref().unwrap_or_default();
        let json = decompress_size_prepended_with_dict(packed, example)?;
        Ok(serde_json::from_slice(&json)?)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};
    use kube::core::ObjectMeta;

    use super::*;

    fn named(name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some([("of".to_owned(), name.to_owned())].into()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn what_is_alike_takes_little_and_comes_back_as_it_was() {
        let mut packer = Packer::default();
        let object = |name: &str| ConfigMap {
            metadata: named(name),
            data: Some(
                (0..40)
                    .map(|number| (format!("SETTING_{number}"), "as everywhere".to_owned()))
                    .collect(),
            ),
            ..ConfigMap::default()
        };
        let first = packer.pack(&object("first")).unwrap();
        let second = packer.pack(&object("second")).unwrap();
        assert!(second.len() < 100, "{}", second.len());
        assert_eq!(packer.unpack::<ConfigMap>(&first).unwrap(), object("first"));
        assert_eq!(packer.unpack::<ConfigMap>(&second).unwrap(), object("second"));
    }

    #[test]
    fn nothing_of_a_secret_stays_to_compress_others_by() {
        let mut packer = Packer::default();
        let mut secret = Secret {
            metadata: named("first"),
            data: Some([("password".to_owned(), ByteString(b"unmistakable".to_vec()))].into()),
            string_data: Some([("token".to_owned(), "unmistakable".to_owned())].into()),
            ..Secret::default()
        };
        secret.metadata.annotations = Some([("last-applied".to_owned(), "unmistakable".to_owned())].into());
        let bytes = packer.pack(&secret).unwrap();
        let example = String::from_utf8(packer.example.clone().unwrap().into()).unwrap();
        // In base64, too.
        for hidden in ["unmistakable", "dW5taXN0YWthYmxl"] {
            assert!(!example.contains(hidden), "{example}");
        }
        assert!(
            example.contains("first"),
            "what all have in common is still of use: {example}"
        );
        assert_eq!(packer.unpack::<Secret>(&bytes).unwrap(), secret);
    }
}
