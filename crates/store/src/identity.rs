//! Whose resources a database holds: one of another control plane is refused by name.

use std::fmt;

/// Who opens a database, and what is known of it.
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
    pub(crate) fn of_cluster(&self, cluster: &str) -> Found {
        Found { mode: self.mode.clone(), zone: self.zone.clone(), cluster: cluster.to_owned() }
    }

    /// Whose an empty database becomes.
    pub(crate) fn of_new(&self) -> Found {
        self.of_cluster(self.cluster.as_deref().unwrap_or(&self.new_cluster))
    }

    /// Returns who we are if the database is another's.
    pub(crate) fn other_than(&self, found: &Found) -> Option<Found> {
        let ours = self.of_cluster(self.cluster.as_deref().unwrap_or(&found.cluster));
        (*found != ours).then_some(ours)
    }
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
        assert_eq!(ours("zone", Some("west"), None).other_than(&found), None);
        assert_eq!(ours("zone", Some("west"), Some("c")).other_than(&found), None);
        for other in
            [ours("global", None, None), ours("zone", Some("east"), None), ours("zone", Some("west"), Some("d"))]
        {
            let named = other.other_than(&found).expect("another");
            assert_eq!((named.mode, named.zone), (other.mode, other.zone));
        }
    }
}
