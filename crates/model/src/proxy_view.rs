//! Looking into a proxy: the three things that it says of itself (contract: kds 8.5).

/// What of a proxy one asks to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProxyView {
    /// The whole configuration.
    ConfigDump,
    /// Counters.
    Stats,
    /// Clusters and their health.
    Clusters,
}

impl ProxyView {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ConfigDump, Self::Stats, Self::Clusters];

    /// The last segment of its route (contract: rest 1.15).
    pub const fn path(self) -> &'static str {
        match self {
            Self::ConfigDump => "xds",
            Self::Stats => "stats",
            Self::Clusters => "clusters",
        }
    }

    /// Returns the view of a route.
    pub fn by_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.path() == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_found_by_its_path_and_no_other() {
        for view in ProxyView::ALL {
            assert_eq!(ProxyView::by_path(view.path()), Some(view));
        }
        assert_eq!(["", "_config", "XDS"].map(ProxyView::by_path), [None; 3]);
    }
}
