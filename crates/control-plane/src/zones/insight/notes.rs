//! What happens to zones, noted in memory.

use jiff::{SignedDuration, Timestamp};
use model::{Key, Kind, ZoneName};
use sync::{SizeNotice, Unreadable};
use tracing::warn;
use wire::kuma::system::v1alpha1::ZoneInsight;

use super::{Insights, Instance, Live, RejectedBy, StreamName, Written, auth, record, trouble};
use crate::zones::caller::{Origin, Renews, TokenIdentity, ZoneCaller};

impl Insights {
    /// Notes that a stream of a zone is open.
    pub fn stream_opened(&self, zone: &ZoneName, stream: StreamName) {
        let now = self.shared.clock.now();
        let instance = self.shared.options.instance.clone();
        self.change(zone, Written::Now, |insight| record::stream_opened(insight, stream, &instance, now));
    }

    /// Opens a subscription: one for each GlobalToZoneSync stream. Returns its id.
    pub fn subscribe(&self, zone: &ZoneName, token_provided: bool) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let (now, options) = (self.shared.clock.now(), &self.shared.options);
        self.change_live(zone, Written::Now, |live| {
            record::end_open_subscriptions(&mut live.insight, now, |one| options.may_end(one));
            record::subscribe(&mut live.insight, &id, &options.instance, token_provided, now);
            live.keep_last(options);
            trouble::start_anew(&mut live.insight);
            live.troubled = true;
            live.open.push(id.clone());
        });
        id
    }

    /// Notes on which token a subscription stands from now on: when it is opened, and when a newer one took its place.
    pub fn stands_on(&self, zone: &ZoneName, subscription: &str, caller: &ZoneCaller, origin: &Origin) {
        let auth = auth::of(caller, origin, self.shared.clock.now());
        self.change(zone, Written::Now, |insight| auth::stands_on(insight, subscription, auth));
    }

    /// Notes what a zone says of the renewal of a token that connections stand on.
    pub fn renews(&self, zone: &ZoneName, token: &TokenIdentity, renews: Renews) {
        let mut zones = self.lock();
        // As with a ping: what is not known is not made.
        let Some(live) = zones.get_mut(zone) else { return };
        let options = &self.shared.options;
        if auth::renews(&mut live.insight, token, renews, |one| options.is_ours(one)) {
            (live.dirty, live.urgent) = (true, true);
            drop(zones);
            self.shared.urgent.notify_one();
        }
    }

    /// Tells, in the log and in the insights, of the tokens that end soon and that nobody renews.
    pub fn tell_ageing(&self) {
        let (now, options) = (self.shared.clock.now(), &self.shared.options);
        let mut told = false;
        for (zone, live) in self.lock().iter_mut() {
            for old in auth::note_ageing(&mut live.insight, now, |one| options.is_ours(one)) {
                (live.dirty, live.urgent, told) = (true, true, true);
                let auth::Ageing { token_id, key, ends, renews } = old;
                warn!(zone = %zone, token = token_id, key, ends = %ends, renews, "the token of a zone ends soon and nobody renewed it: give the zone a new one");
            }
        }
        if told {
            self.shared.soon.notify_one();
        }
    }

    /// Opens a subscription in the insight that a zone keeps of itself: one for each ZoneToGlobalSync stream (contract:
    /// kds 8.1, "zone side mirror"). Returns its id.
    pub fn subscribe_at_zone(&self, zone: &ZoneName, global: &Instance, us: &Instance) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let (now, options) = (self.shared.clock.now(), &self.shared.options);
        let described = Instance { id: us.id.clone(), config: String::new(), ..global.clone() };
        self.change_live(zone, Written::Now, |live| {
            record::end_open_subscriptions(&mut live.insight, now, |one| options.may_end(one));
            record::subscribe(&mut live.insight, &id, &global.id, false, now);
            record::described(&mut live.insight, &id, &described);
            live.keep_last(options);
            live.open.push(id.clone());
        });
        id
    }

    /// Notes what the zone said of itself in a first request.
    pub fn described(&self, zone: &ZoneName, subscription: &str, said: &Instance) {
        self.change_live(zone, Written::Now, |live| {
            record::described(&mut live.insight, subscription, said);
            // Who came elsewhere may have been heard of before.
            self.look_for_another(zone, live);
        });
    }

    /// Counts a response that was sent.
    pub fn sent(&self, zone: &ZoneName, subscription: &str, kind: &str) {
        let now = self.shared.clock.now();
        self.change(zone, Written::Later, |insight| {
            record::count(insight, subscription, kind, now, |stats| stats.responses_sent += 1)
        });
    }

    /// Counts a response that was acknowledged.
    pub fn acknowledged(&self, zone: &ZoneName, subscription: &str, kind: &str) {
        let now = self.shared.clock.now();
        self.change(zone, Written::Later, |insight| {
            record::count(insight, subscription, kind, now, |stats| stats.responses_acknowledged += 1);
        });
    }

    /// Counts a response that the zone rejected, and keeps its reason.
    pub fn rejected(&self, zone: &ZoneName, subscription: &str, kind: &str, reason: &str) {
        let now = self.shared.clock.now();
        self.change(zone, Written::Soon, |insight| {
            record::count(insight, subscription, kind, now, |stats| stats.responses_rejected += 1);
            trouble::rejected(insight, kind, RejectedBy::Zone, reason, now);
        });
    }

    /// Counts, in the insight that a zone keeps of itself, a response that global rejected, and keeps its reason.
    pub fn rejected_by_global(&self, zone: &ZoneName, subscription: &str, kind: &str, reason: &str) {
        let now = self.shared.clock.now();
        self.change(zone, Written::Soon, |insight| {
            record::count(insight, subscription, kind, now, |stats| stats.responses_rejected += 1);
            trouble::rejected(insight, kind, RejectedBy::Global, reason, now);
        });
    }

    /// Keeps why something that the zone provided was rejected here.
    pub fn rejected_here(&self, zone: &ZoneName, kind: &str, reason: &str) {
        let now = self.shared.clock.now();
        self.change(zone, Written::Soon, |insight| trouble::rejected(insight, kind, RejectedBy::Global, reason, now));
    }

    /// Notes what fits into a message no more, or again.
    pub fn sized(&self, zone: &ZoneName, notice: &SizeNotice, limit: usize) {
        let now = self.shared.clock.now();
        self.change(zone, Written::Soon, |insight| match notice {
            SizeNotice::TooLarge { kind, resource, bytes } => {
                let resource = resource.as_ref().map(ToString::to_string).unwrap_or_default();
                trouble::too_large(insight, kind, &resource, *bytes, limit, now);
            }
            SizeNotice::Fits { kind } => trouble::fits(insight, kind),
        });
    }

    /// Notes what the zone's version cannot read of a type, or that it reads all of it.
    pub fn unreadable(&self, zone: &ZoneName, unreadable: &Unreadable) {
        let now = self.shared.clock.now();
        self.change(zone, Written::Soon, |insight| trouble::unreadable(insight, unreadable, now));
    }

    /// Notes that a response waits for its answer since then, or that it has one.
    pub fn unacknowledged(&self, zone: &ZoneName, kind: &str, since: Option<Timestamp>) {
        self.change(zone, Written::Soon, |insight| trouble::unacknowledged(insight, kind, since));
    }

    /// Keeps the last refusal of somebody who says to be this zone, with the zone if there is such a one: text that nobody
    /// verified makes nothing new in the store.
    pub async fn refused(&self, zone: &ZoneName, reason: &str, detail: &str) {
        let known = self.lock().contains_key(zone);
        let now = self.shared.clock.now();
        if !known && !matches!(self.shared.store.get(&Key::global(Kind::ZONE, zone.as_str())).await, Ok(Some(_))) {
            self.shared.strangers.refused(zone, reason, detail, now);
            return;
        }
        // Not at once: who floods the port must not decide how much is written.
        self.change_live(zone, Written::Later, |live| {
            trouble::refused(&mut live.insight, reason, detail, now);
            live.troubled = true;
        });
    }

    /// Keeps why a zone that was let in was put out again.
    pub fn put_out(&self, zone: &ZoneName, reason: &str, detail: &str) {
        let now = self.shared.clock.now();
        if self.lock().contains_key(zone) {
            self.change_live(zone, Written::Soon, |live| {
                trouble::refused(&mut live.insight, reason, detail, now);
            });
        }
    }

    /// Ends a subscription. If an older stream of the zone is still open, its subscription is open again: a new
    /// connection that died must not make a connected zone look away.
    pub fn unsubscribe(&self, zone: &ZoneName, subscription: &str) {
        let now = self.shared.clock.now();
        self.change_live(zone, Written::Now, |live| {
            record::unsubscribe(&mut live.insight, subscription, now);
            live.open.retain(|open| open != subscription);
            // Open already, or ended by the one that ends now.
            if let Some(open) = live.open.last() {
                record::reopen(&mut live.insight, open);
            }
        });
    }

    /// Notes a ping, and how far the clock of the zone is ahead of ours, if it told.
    pub fn pinged(&self, zone: &ZoneName, clock_ahead: Option<SignedDuration>) {
        let now = self.shared.clock.now();
        let mut zones = self.lock();
        // A ping alone creates no zone, and so no insight of one.
        if let Some(live) = zones.get_mut(zone) {
            record::pinged(&mut live.insight, now, clock_ahead);
            live.dirty = true;
        }
    }

    pub(super) fn change(&self, zone: &ZoneName, written: Written, change: impl FnOnce(&mut ZoneInsight)) {
        self.change_live(zone, written, |live| change(&mut live.insight));
    }

    pub(super) fn change_live(&self, zone: &ZoneName, written: Written, change: impl FnOnce(&mut Live)) {
        let mut zones = self.lock();
        let live = zones.entry(zone.clone()).or_default();
        change(live);
        live.dirty = true;
        live.urgent |= written != Written::Later;
        live.troubled |= written == Written::Soon;
        drop(zones);
        match written {
            Written::Now => self.shared.urgent.notify_one(),
            Written::Soon => self.shared.soon.notify_one(),
            Written::Later => {}
        }
    }
}
