//! What is revoked: the ids in lists that people write ([`list`]), and the rules that commands make ([`rule`]). Both count.

pub(crate) mod list;
pub(crate) mod rule;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use self::rule::{RevocationRule, Revoked, TokenFacts, whole_second};

/// What is revoked of one family.
#[derive(Default)]
pub(crate) struct Revocations {
    /// Of lists and of rules.
    ids: BTreeSet<String>,
    zones: BTreeMap<String, Vec<RevocationRule>>,
    keys: BTreeMap<u64, Vec<RevocationRule>>,
    all: Vec<RevocationRule>,
    /// The name of a list that could not be read: nothing of the family is accepted then.
    pub(crate) unreadable: Option<String>,
}

impl Revocations {
    /// Adds the ids of a list; `None` is a secret whose data is not there. Returns whether it could be read.
    pub(crate) fn add_list(&mut self, name: &str, data: Option<&[u8]>) -> bool {
        let Some(text) = data.and_then(list::text) else {
            self.unreadable = Some(name.to_owned());
            return false;
        };
        for id in list::ids(text) {
            self.ids.extend(list::readings(id));
        }
        true
    }

    /// Adds a rule.
    pub(crate) fn add_rule(&mut self, rule: RevocationRule) {
        match &rule.what {
            Revoked::Id(id) => self.ids.extend(list::readings(id)),
            Revoked::Zone(zone) => self.zones.entry(zone.clone()).or_default().push(rule),
            Revoked::Key(serial) => self.keys.entry(*serial).or_default().push(rule),
            Revoked::All => self.all.push(rule),
        }
    }

    /// Tells if a token of this family is revoked.
    pub(crate) fn revokes(&self, token: &TokenFacts<'_>) -> bool {
        self.ids.contains(token.id) || self.naming(token.zone, token.key.serial).any(|rule| rule.is_in_time_for(token))
    }

    /// Tells if such rules revoke it that are about all tokens of before a moment, and nothing else does.
    pub(crate) fn revokes_by_age_alone(&self, token: &TokenFacts<'_>) -> bool {
        let is_about_a_moment = |rule: &RevocationRule| rule.what == Revoked::All && rule.before.is_some();
        let mut rules = self.naming(token.zone, token.key.serial).filter(|rule| rule.is_in_time_for(token)).peekable();
        !self.ids.contains(token.id) && rules.peek().is_some() && rules.all(is_about_a_moment)
    }

    /// The first second of which a token, of this zone and signed with this key, is not revoked by its time.
    pub(crate) fn good_from(&self, zone: Option<&str>, serial: u64) -> Option<Timestamp> {
        self.naming(zone, serial).filter_map(|rule| rule.before).map(whole_second).max()
    }

    /// The earliest end of a new rule that leaves out no token which was issued until `now`.
    ///
    /// A token that was issued within the second of another rule has a time of issue that is later than it was issued.
    pub(crate) fn next_before(&self, now: Timestamp) -> Timestamp {
        let others = self.all.iter().chain(self.zones.values().flatten()).chain(self.keys.values().flatten());
        let latest = others.filter_map(|rule| rule.before).map(whole_second).max();
        let behind = latest.and_then(|latest| latest.checked_add(SignedDuration::from_secs(1)).ok());
        whole_second(now).max(behind.unwrap_or(Timestamp::MIN))
    }

    /// The rules that name a token by something else than its id.
    fn naming(&self, zone: Option<&str>, serial: u64) -> impl Iterator<Item = &RevocationRule> {
        let of_zone = zone.and_then(|zone| self.zones.get(zone));
        of_zone.into_iter().chain(self.keys.get(&serial)).flatten().chain(&self.all)
    }
}

#[cfg(test)]
mod tests;
