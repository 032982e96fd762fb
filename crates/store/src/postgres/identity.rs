//! Whose resources a database holds.

use std::fmt;

use tokio_postgres::{Client, Error};

/// Whose resources a database holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `global` or `zone`.
    pub mode: String,
    /// The zone's name, of a zone.
    pub zone: Option<String>,
    /// The cluster. `None` takes whichever it is, and gives an empty database [`Identity::new_cluster`].
    pub cluster: Option<String>,
    /// The cluster of a database that is empty.
    pub new_cluster: String,
}

/// What a database says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `global` or `zone`.
    pub mode: String,
    /// The zone's name, of a zone.
    pub zone: Option<String>,
    /// The cluster.
    pub cluster: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "zone `{zone}`")?,
            None => write!(f, "a {} control plane", self.mode)?,
        }
        write!(f, " of cluster `{}`", self.cluster)
    }
}

impl Identity {
    /// Who we are, with this cluster.
    pub(super) fn of_cluster(&self, cluster: &str) -> Found {
        Found { mode: self.mode.clone(), zone: self.zone.clone(), cluster: cluster.to_owned() }
    }

    /// Whether the database is ours.
    pub(super) fn is_that_of(&self, found: &Found) -> bool {
        let cluster = self.cluster.as_deref().unwrap_or(&found.cluster);
        *found == self.of_cluster(cluster)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_ours_if_all_that_we_know_agrees() {
        let ours = |mode: &str, zone: Option<&str>, cluster: Option<&str>| Identity {
            mode: mode.to_owned(),
            zone: zone.map(str::to_owned),
            cluster: cluster.map(str::to_owned),
            new_cluster: "n".to_owned(),
        };
        let found = ours("zone", Some("west"), None).of_cluster("c");
        assert!(ours("zone", Some("west"), None).is_that_of(&found));
        assert!(ours("zone", Some("west"), Some("c")).is_that_of(&found));
        for other in
            [ours("global", None, None), ours("zone", Some("east"), None), ours("zone", Some("west"), Some("d"))]
        {
            assert!(!other.is_that_of(&found), "{other:?}");
        }
    }
}
