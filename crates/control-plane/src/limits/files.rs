//! How many files the process may have open, and which part of them each port gets.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Raises the limit of open files to what this user may have; returns it.
///
/// The usual soft limit, 1,024, is one of programs that use `select`; zones alone may be more.
pub(super) fn raise() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let known = |limit: Option<u64>| limit.map_or(UNLIMITED, |limit| usize::try_from(limit).unwrap_or(UNLIMITED));
    if known(current) >= known(maximum) {
        return known(current).min(UNLIMITED);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => known(maximum).min(UNLIMITED),
        Err(error) => {
            warn!(files = current, wanted = maximum, error = %error, "cannot raise the limit of open files");
            known(current).min(UNLIMITED)
        }
    }
}

/// More than all ports together ever take.
const UNLIMITED: usize = 1 << 20;
/// Files that are no connections of a port: the store, the log, certificates, connections to a global.
const OTHERS: usize = 64;

/// Connections of each port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) kds: usize,
    pub(super) http: usize,
    pub(super) https: usize,
    /// The port between instances has as many.
    pub(super) diagnostics: usize,
}

impl Shares {
    /// Divides so many files. Zones get what is left.
    pub(super) fn of(files: usize) -> Self {
        let all = files.saturating_sub(OTHERS.max(files / 16).min(1024));
        let diagnostics = (all / 16).clamp(4, 256);
        let rest = (all / 8).clamp(8, 4096);
        let kds = all.saturating_sub(2 * diagnostics + 2 * rest).clamp(8, 100_000);
        Self { kds, http: rest, https: rest, diagnostics }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_leave_files_for_the_store() {
        for files in [256, 512, 1024, 4096, 20_000, 65_536, 1 << 20] {
            let Shares { kds, http, https, diagnostics } = Shares::of(files);
            let all = kds + http + https + 2 * diagnostics;
            assert!(all + OTHERS <= files, "{files}: {all}");
            assert!(kds * 2 > all, "zones get most: {files}");
        }
    }

    #[test]
    fn five_thousand_zones_fit_into_a_small_server() {
        assert!(Shares::of(20_000).kds * 3 / 4 > 5000);
    }

    #[test]
    fn the_limit_of_this_process_is_as_high_as_it_may_be() {
        raise();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }
}
