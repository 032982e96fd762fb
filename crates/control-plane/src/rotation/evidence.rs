//! Gathering the evidence: the record first, then what instances know, then who stands on what.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use model::{Key, Kind, ZoneName, reserved};
use store::{Query, Stored, Version};
use tokens::{
    Family, Half, IssueError, KeyId, KeyRing, Scope, TokenFacts,
    rotation::{Evidence, Handed, Instance, Left, LeftWith, StandsOn, State, Zone},
};
use uuid::Uuid;
use wire::kuma::system::v1alpha1::ZoneAuth;

use super::{NotMade, Sources};
use crate::{
    ledger::{Entry, How},
    records::{self, Record as _, RecordError, rotation::Rotations},
    zones::{caller::Renews, insight::Use},
};

/// What was found of one family, and the versions of what a step writes over.
pub(super) struct Seen {
    pub(super) state: State,
    /// The version of the record; none if there is none.
    pub(super) version: Option<Version>,
    pub(super) secrets: Vec<KeySecret>,
    pub(super) evidence: Evidence,
}

/// A secret that holds a key, or half of one.
pub(super) struct KeySecret {
    pub(super) key: Key,
    pub(super) version: Version,
    pub(super) serial: u64,
    half: Half,
    made: Timestamp,
}

impl Seen {
    /// Looks at who uses the keys, too: what instances know was looked at before.
    pub(super) fn with_users(mut self, sources: &Sources) -> Self {
        let Self { evidence, secrets, .. } = &mut self;
        evidence.zones = zones(sources, &evidence.family, secrets);
        evidence.tokens = tokens(sources, &evidence.family, secrets);
        evidence.unreadable = unreadable(sources, &evidence.family);
        self
    }
}

/// Looks at everything of a family.
pub(super) async fn look(sources: &Sources, family: &Family) -> Result<Seen, NotMade> {
    Ok(look_at_keys(sources, family).await?.with_users(sources))
}

/// Looks at the record of a family, its keys, and what instances know of them; not at who uses them, which costs what all zones
/// cost.
pub(super) async fn look_at_keys(sources: &Sources, family: &Family) -> Result<Seen, NotMade> {
    let record = sources.store.get(&records::key::<Rotations>(&records::rotation::rest(family))).await?;
    let secrets = secrets(sources, family).await?;
    let (state, version) = match record.map(|kept| (records::read::<Rotations>(&kept.resource), kept)) {
        Some((Ok(record), kept)) => (record.state, Some(kept.version)),
        Some((Err(problem), kept)) => return Err(damaged(sources, family, &secrets, &kept, &problem)),
        None => (State::default(), None),
    };
    let instances = vec![this_instance(sources, family)];
    let private = secrets.iter().filter(|secret| secret.half == Half::Private);
    let evidence = Evidence {
        family: family.clone(),
        now: sources.clock.now(),
        times: sources.times,
        keys: private.map(|secret| (secret.serial, secret.made)).collect(),
        taken: secrets.iter().map(|secret| secret.serial).collect(),
        instances,
        zones: Vec::new(),
        tokens: Vec::new(),
        unreadable: Vec::new(),
    };
    Ok(Seen { state, version, secrets, evidence })
}

/// What is said of a record that cannot be read. Which serials were given is known from the keys that are there, from the tokens
/// of those that are not, and from the record, if that much can be made out.
fn damaged(sources: &Sources, family: &Family, secrets: &[KeySecret], kept: &Stored, problem: &RecordError) -> NotMade {
    let tokens = sources.ledger.all();
    let of_tokens = tokens.iter().filter(|known| known.entry.family() == family).map(|known| known.entry.key.serial);
    let of_keys = secrets.iter().map(|secret| secret.serial);
    let told = records::rotation::highest_of_damaged(&kept.resource.spec);
    let highest = of_tokens.chain(of_keys).chain(told).max().unwrap_or_default();
    let mesh = family.mesh().map(|mesh| format!(" --mesh {mesh}")).unwrap_or_default();
    let family = family.key_word();
    let problem = format!(
        "{problem}. Nothing is signed with the keys of its family after the next start; restore it from a backup, or drop it \
         with `kumactl rotate rollback {family}{mesh} --force`: then the keys that are there are all there is, and the one \
         with the highest serial signs"
    );
    NotMade::Damaged { problem, version: kept.version, highest }
}

async fn secrets(sources: &Sources, family: &Family) -> Result<Vec<KeySecret>, NotMade> {
    let query = match family.mesh() {
        Some(mesh) => Query::in_mesh(Kind::SECRET, mesh),
        None => Query::all(Kind::GLOBAL_SECRET),
    };
    let stored = sources.store.list(&query).await?;
    let keys = stored.items.iter().filter_map(|stored| {
        let key = stored.resource.key.clone();
        let name = records::rotation::secret(&key).filter(|name| name.family == *family)?;
        let (half, made) = (name.half, stored.resource.created);
        Some(KeySecret { key, version: stored.version, serial: name.serial?, half, made })
    });
    Ok(keys.collect())
}

/// This instance: nothing signs or verifies here with keys of which nobody knows whether they are still good.
fn this_instance(sources: &Sources, family: &Family) -> Instance {
    let ring = sources.keys.to_admit().ok();
    Instance {
        name: sources.instance.clone(),
        last_seen: Some(sources.clock.now()),
        verifies: ring.as_ref().map(|ring| ring.serials(family)).unwrap_or_default(),
        signs: ring.and_then(|ring| ring.signs(family)),
    }
}

/// A zone may stand on several tokens at once, and counts for each.
fn zones(sources: &Sources, family: &Family, secrets: &[KeySecret]) -> Vec<Zone> {
    let uses: BTreeMap<ZoneName, Vec<Use>> = sources.insights.uses().into_iter().collect();
    let ring = sources.keys.ring();
    let mut here: BTreeMap<ZoneName, BTreeSet<StandsOn>> = BTreeMap::new();
    for open in sources.registry.open() {
        let caller = &open.caller;
        let stands_on = match caller.token() {
            Some(token) if token.key.family == *family && !token.key.is_of_settings() => {
                StandsOn::Key(token.key.serial)
            }
            Some(_) | None => StandsOn::Other,
        };
        here.entry(caller.zone().clone()).or_default().insert(stands_on);
    }
    let names: BTreeSet<&ZoneName> = uses.keys().chain(here.keys()).collect();
    let mut zones = Vec::new();
    for name in names {
        let confirmed = confirmed(sources, name, secrets);
        let none = Vec::new();
        let uses = uses.get(name).unwrap_or(&none);
        let (left, uses): (Vec<&Use>, Vec<&Use>) = uses.iter().partition(|one| one.left.is_some());
        let last_seen = uses.iter().filter_map(|one| one.last_seen).max();
        let zone = |live, stands_on, auth: Option<&ZoneAuth>| Zone {
            name: name.as_str().to_owned(),
            live,
            last_seen,
            stands_on,
            issued: auth.and_then(|auth| time(auth.issued_at.as_ref())),
            renews: auth.is_some_and(|auth| auth.renews == "yes"),
            next_is_revoked: *family == Family::ControlPlane
                && auth.is_some_and(|auth| auth.expires_at.is_none())
                && next_is_revoked(sources, &ring, name),
            confirmed: confirmed.clone(),
            reads_rsa_alone: sources.confirmed.is_some() && sources.insights.reads_rsa_alone(name),
            left: None,
        };
        let open = here.get(name);
        for (key, left) in uses.iter().filter_map(|one| in_file(sources, one, name, family, &ring)) {
            let seen = if open.is_some() { Some(sources.clock.now()) } else { last_seen };
            zones.push(Zone { last_seen: seen, left: Some(left), reads_rsa_alone: false, ..zone(false, key, None) });
        }
        for stands_on in open.into_iter().flatten() {
            let of_key = |one: &&&Use| one.ours && known(one, family, &ring) == *stands_on;
            let auth = uses.iter().find(of_key).and_then(|one| one.auth.as_ref());
            zones.push(zone(true, *stands_on, auth));
        }
        // Of its connections to this instance the streams say it better, as long as there are any.
        let elsewhere = uses.iter().filter(|one| !(one.ours && open.is_some()));
        zones.extend(elsewhere.map(|one| zone(one.live, known(one, family, &ring), one.auth.as_ref())));
        for one in left {
            let Some((key, gone)) = has_left(one, name, family, &ring) else { continue };
            let last_seen = one.last_seen;
            zones.push(Zone {
                last_seen,
                left: Some(gone),
                reads_rsa_alone: false,
                ..zone(false, key, one.auth.as_ref())
            });
        }
    }
    zones
}

/// Which key another instance of a zone stood on when it left, with a token that nobody revoked since.
fn has_left(one: &Use, zone: &ZoneName, family: &Family, ring: &KeyRing) -> Option<(StandsOn, Left)> {
    let (auth, StandsOn::Key(serial)) = (one.auth.as_ref()?, known(one, family, ring)) else { return None };
    let key = KeyId { family: family.clone(), serial };
    let (id, issued_at) = (auth.token_id.as_str(), time(auth.issued_at.as_ref()));
    if ring.revokes(&TokenFacts { key: &key, id, zone: Some(zone.as_str()), issued_at }) {
        return None;
    }
    let (instance, ends) = (one.left.clone().unwrap_or_default(), time(auth.expires_at.as_ref()));
    Some((StandsOn::Key(serial), Left { with: LeftWith::Instance(instance), token: id.to_owned(), ends }))
}

/// What a zone reads when it starts again that stands on a token it could not write down: the newest one that somebody made
/// for it by a command and that it used. One that is not in the ledger any more has ended long ago.
fn in_file(sources: &Sources, one: &Use, zone: &ZoneName, family: &Family, ring: &KeyRing) -> Option<(StandsOn, Left)> {
    let auth = one.auth.as_ref()?;
    if auth.renews != Renews::NotTheFile.as_str() || auth.family != family.key_word() {
        return None;
    }
    if sources.ledger.get(family, &auth.token_id)?.entry.how == How::Command {
        // It stands on what it was given.
        return None;
    }
    let mut given = sources.ledger.of_zone(zone.as_str());
    given.retain(|known| known.entry.family() == family && known.entry.how == How::Command && known.seen);
    let newest = given.into_iter().max_by_key(|known| known.entry.issued_at)?;
    let entry = &newest.entry;
    let left = Left { with: LeftWith::File, token: entry.id.clone(), ends: entry.expires_at };
    (!ring.revokes(&entry.facts())).then_some((StandsOn::Key(entry.key.serial), left))
}

/// Whether the token without an end that a zone would get next is revoked: it is the same bytes each time.
fn next_is_revoked(sources: &Sources, ring: &KeyRing, zone: &ZoneName) -> bool {
    match tokens::issue_control_plane(ring, zone, None, sources.clock.now(), Uuid::nil()) {
        // Rules about a moment do not mean what is issued now for the first time.
        Err(IssueError::RevokedWithoutEnd { id, by_age_alone }) => {
            !by_age_alone || sources.ledger.get(&Family::ControlPlane, &id).is_some()
        }
        Ok(_) | Err(_) => false,
    }
}

/// What a connection is known to stand on.
fn known(one: &Use, family: &Family, ring: &KeyRing) -> StandsOn {
    match &one.auth {
        Some(auth) if auth.family != family.key_word() => StandsOn::Other,
        // A key of the settings has a name that may be a number, and no rotation.
        Some(auth) if ring.is_of_settings(family, &auth.key) => StandsOn::Other,
        Some(auth) => auth.key.parse().map_or(StandsOn::Other, StandsOn::Key),
        None if one.with_token => StandsOn::Unknown,
        None => StandsOn::Other,
    }
}

/// The tokens that the keys of a family signed and that nobody revoked. Ended ones are left to the judgement.
fn tokens(sources: &Sources, family: &Family, secrets: &[KeySecret]) -> Vec<Handed> {
    let ring = sources.keys.ring();
    let serials: BTreeSet<u64> = secrets.iter().map(|secret| secret.serial).collect();
    let keys = serials.into_iter().map(|serial| KeyId { family: family.clone(), serial });
    let known = keys.flat_map(|key| sources.ledger.of_key(&key));
    let good = known.filter(|known| !ring.revokes(&known.entry.facts()));
    good.map(|known| {
        let entry = &known.entry;
        Handed {
            id: entry.id.clone(),
            zone: entry.zone.clone(),
            key: entry.key.serial,
            issued: entry.issued_at,
            ends: entry.expires_at,
            seen: known.seen,
            watched: is_watched(entry),
            renewal: entry.how != How::Command,
        }
    })
    .collect()
}

/// Whether a token is good for nothing but to let a control plane in, which is seen here.
fn is_watched(entry: &Entry) -> bool {
    match entry.family() {
        Family::ControlPlane => true,
        Family::Zone => entry.scope.as_deref().is_some_and(|scope| *scope == [Scope::Cp.as_str()]),
        Family::User | Family::Dataplane { .. } => false,
    }
}

/// The entries of the ledger that cannot be read and may be of a family.
fn unreadable(sources: &Sources, family: &Family) -> Vec<String> {
    let front = format!("{}.{}.", Entry::FRONT, family.token_word());
    sources.ledger.unreadable().into_iter().filter(|name| name.starts_with(&front)).collect()
}

/// The keys of which a zone has confirmed that it has what verifies them, or that it never verifies with.
fn confirmed(sources: &Sources, zone: &ZoneName, secrets: &[KeySecret]) -> BTreeSet<u64> {
    let confirmed = sources.confirmed.as_ref();
    let has = |secret: &&KeySecret| confirmed.is_none_or(|confirmed| confirmed.has(zone, &as_sent(&secret.key)));
    secrets.iter().filter(has).map(|secret| secret.serial).collect()
}

/// A key as zones get it: of zone tokens the public half, under its own name.
fn as_sent(key: &Key) -> Key {
    match key.name.strip_prefix(reserved::ZONE_KEY) {
        Some(rest) if key.kind == Kind::GLOBAL_SECRET => {
            Key { name: format!("{}{rest}", reserved::ZONE_PUBLIC_KEY), ..key.clone() }
        }
        _ => key.clone(),
    }
}

fn time(time: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok())
}
