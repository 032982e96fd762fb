//! Where a database says whose it is.

use tokio_postgres::{Client, Error};

pub use crate::identity::{Found, Identity};

/// Says whose the database is from here on.
pub(super) async fn write(client: &Client, ours: &Found) -> Result<(), Error> {
    const WRITE: &str = "INSERT INTO store_identity (mode, zone, cluster_id) VALUES ($1, $2, $3)";
    client.execute(WRITE, &[&ours.mode, &ours.zone, &ours.cluster]).await.map(drop)
}

/// Returns whose the database is.
pub(super) async fn read(client: &Client) -> Result<Option<Found>, Error> {
    let row = client.query_opt("SELECT mode, zone, cluster_id FROM store_identity", &[]).await?;
    row.map(|row| Ok(Found { mode: row.try_get(0)?, zone: row.try_get(1)?, cluster: row.try_get(2)? })).transpose()
}
