//! The numbered files of `db/migrations`, built into the program.

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

/// One numbered file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    pub version: i32,
    pub name: &'static str,
    pub sql: &'static str,
    /// `sha256:` and the digest of the file.
    pub checksum: String,
    /// The lowest schema version whose programs can still serve after it.
    pub compatible_with: i32,
    /// False: one statement that PostgreSQL takes only outside of a transaction, and that can be repeated.
    pub in_transaction: bool,
    /// The index that the statement builds; it may be left over invalid and is then dropped first.
    pub builds_index: Option<&'static str>,
}

/// A file that is built in does not say what has to be known of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the migration {0} is malformed; expected a name such as 0001_tables, and a line `-- compatible-with: NUMBER` in the \
     comment at the top"
)]
pub struct MalformedMigration(&'static str);

/// All migrations, in order.
///
/// # Errors
/// When one of them is malformed, which a test excludes: without it no database would be as it has to be.
pub fn migrations() -> Result<&'static [Migration], MalformedMigration> {
    static PARSED: LazyLock<Result<Vec<Migration>, MalformedMigration>> = LazyLock::new(|| {
        FILES
            .iter()
            .map(|&(name, sql)| Migration::parse(name, sql))
            .collect()
    });
    PARSED.as_deref().map_err(Clone::clone)
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../db/migrations/", $name, ".sql")))),*]
    };
}

const FILES: &[(&str, &str)] = files![
    "0001_tables",
    "0002_prices_by_pair_and_day",
    "0003_sums",
    "0004_batches",
    "0005_orphaned_rows",
    "0006_truncate",
    "0007_owners",
    "0008_batches_by_owner",
];

impl Migration {
    /// A migration from its file's name without ending and its text.
    ///
    /// # Errors
    /// When the name has no number, or the text does not say what it is compatible with.
    pub fn parse(name: &'static str, sql: &'static str) -> Result<Self, MalformedMigration> {
        let malformed = || MalformedMigration(name);
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).ok_or_else(malformed);
        Ok(Self {
            version: number(name.split('_').next())?,
            name,
            sql,
            checksum: format!("sha256:{:x}", Sha256::digest(sql)),
            compatible_with: number(header(sql, "compatible-with"))?,
            in_transaction: !header(sql, "transaction").is_some_and(|value| value.starts_with("none")),
            builds_index: header(sql, "builds-index"),
        })
    }
}

/// The value of a `-- key: value` line in the comment at the top.
fn header(sql: &'static str, key: &str) -> Option<&'static str> {
    sql.lines()
        .map_while(|line| line.strip_prefix("-- "))
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_is_listed_and_every_listed_one_is_well_formed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../db/migrations");
        let on_disk: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_str()?
                    .strip_suffix(".sql")
                    .map(str::to_owned)
            })
            .collect();
        let parsed: BTreeSet<String> = migrations()
            .unwrap()
            .iter()
            .map(|migration| migration.name.to_owned())
            .collect();
        assert_eq!(on_disk, parsed);
    }

    #[test]
    fn versions_count_from_one_without_gaps() {
        let migrations = migrations().unwrap();
        let versions: Vec<i32> = migrations.iter().map(|migration| migration.version).collect();
        let expected: Vec<i32> = (1..).take(versions.len()).collect();
        assert_eq!(versions, expected);
        assert!(
            migrations
                .iter()
                .all(|migration| migration.compatible_with <= migration.version)
        );
    }

    #[test]
    fn the_comment_at_the_top_says_how_it_is_applied() {
        let sql = "-- An index.\n-- compatible-with: 3\n-- transaction: none, since\n-- builds-index: public.i\n\nCREATE …";
        let migration = Migration::parse("0007_index", sql).unwrap();
        assert_eq!((migration.version, migration.compatible_with), (7, 3));
        assert!(!migration.in_transaction);
        assert_eq!(migration.builds_index, Some("public.i"));
        let malformed = |name, sql| Migration::parse(name, sql).unwrap_err().to_string();
        assert!(malformed("index", sql).starts_with("the migration index is malformed"));
        assert!(malformed("0007_index", "CREATE …").contains("compatible-with"));
    }
}
