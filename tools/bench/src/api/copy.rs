//! `COPY … (FORMAT binary)` of rows that are encoded already: what PostgreSQL can do when the client costs next to nothing.

use std::io::Cursor;
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use futures::SinkExt as _;
use tokio_postgres::Client;

/// Returns when the rows are committed.
pub async fn copy(client: &Client, table: &str, pieces: &[Arc<[u8]>], rows: u32) -> Result<()> {
    let failed = || format!("cannot copy into {table}");
    let statement = format!("COPY {table} (orig_code, dest_code, day, price) FROM STDIN (FORMAT binary)");
    let sink = client
        .copy_in::<_, Cursor<Arc<[u8]>>>(&statement)
        .await
        .with_context(failed)?;
    let mut sink = pin!(sink);
    for piece in pieces {
        sink.feed(Cursor::new(Arc::clone(piece)))
            .await
            .with_context(failed)?;
    }
    let copied = sink.finish().await.with_context(failed)?;
    if copied != u64::from(rows) {
        bail!("{copied} rows were copied into {table}, and not {rows}");
    }
    Ok(())
}
