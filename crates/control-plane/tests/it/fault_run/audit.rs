//! What the database itself saw: who wrote what, and who led in that moment.
//!
//! Triggers that this test installs keep a log beside the tables, in the transactions of those who write. Each global has a
//! role of its own, so the database knows who it is, whatever it says of itself. What only a leader writes is told by what
//! is written, and not by what its writer believed.
//!
//! ```text
//! ends a subscription that another instance opened     its leader cleans up behind who is gone
//! moves a rotation on, or deletes a key of it          the steps that an automatic rotation makes by itself
//! ```

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;
use serde::Deserialize;
use testkit::{postgres::Place, program::eventually};
use wire::kuma::system::v1alpha1::ZoneInsight;

/// What the test is called when it leads.
const PLAYED: &str = "the-test";

const INSTALL: &str = r"
    CREATE SCHEMA audit;
    CREATE TABLE audit.lives (
        number bigint GENERATED ALWAYS AS IDENTITY, role text, instance text, PRIMARY KEY (role, instance)
    );
    CREATE TABLE audit.writes (
        revision bigint, position integer, writer text, leader text, epoch bigint,
        kind text, name text, is_deletion boolean, insight text, PRIMARY KEY (revision, position)
    );
    CREATE FUNCTION audit.live() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO audit.lives (role, instance) VALUES (session_user, NEW.name) ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$;
    CREATE FUNCTION audit.write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO audit.writes
        SELECT NEW.revision, NEW.position,
            (SELECT instance FROM audit.lives WHERE role = session_user ORDER BY number DESC LIMIT 1),
            leader, epoch, NEW.kind, NEW.name, NEW.spec IS NULL,
            CASE WHEN NEW.kind = 'ZoneInsight' THEN translate(encode(NEW.spec, 'base64'), E'\n', '') END
        FROM public.store_revision;
        RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER INSERT OR UPDATE ON instances FOR EACH ROW EXECUTE FUNCTION audit.live();
    CREATE TRIGGER audit AFTER INSERT ON changes FOR EACH ROW EXECUTE FUNCTION audit.write();";

const READ: &str = "SELECT coalesce(json_agg(writes ORDER BY revision, position), '[]') FROM audit.writes";
/// Whoever has the lock of leaders, by the lower half of its number, and is known as the leader.
const LEADER: &str = "
    SELECT role FROM audit.lives JOIN store_revision ON leader = instance JOIN instances ON instances.name = instance
    JOIN pg_locks ON pid = backend AND granted AND locktype = 'advisory' AND objid = 761491458";

/// A change in the order of the database.
#[derive(Clone, Debug, Deserialize)]
struct Write {
    revision: u64,
    /// The instance that wrote it; none before any was heard.
    writer: Option<String>,
    /// The instance that led at its commit, and since when.
    leader: Option<String>,
    epoch: u64,
    kind: String,
    name: String,
    is_deletion: bool,
    insight: Option<String>,
}

impl Write {
    fn insight(&self) -> ZoneInsight {
        let bytes = STANDARD.decode(self.insight.as_deref().unwrap_or_default()).unwrap();
        ZoneInsight::decode(bytes.as_slice()).unwrap()
    }
}

/// The log of a database.
pub(super) struct Audit(Place);

impl Audit {
    /// Installs it in a database in which one global made its tables.
    pub(super) fn begin(place: Place, first: usize) -> Self {
        let known = format!("INSERT INTO audit.lives (role, instance) SELECT 'global_{first}', name FROM instances;");
        place.execute(&format!("BEGIN; {INSTALL} {known} COMMIT"));
        Self(place)
    }

    /// Makes a role for a global, which may do whatever the given one may.
    pub(super) fn role(place: &Place, number: usize) -> Place {
        let user = format!("global_{number}");
        place.execute(&format!("CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{}'", place.password));
        Place { user, ..place.clone() }
    }

    /// The number of the global that leads and is heard; waits until one does.
    pub(super) fn leader(&self) -> usize {
        let role = eventually("a global leads", || self.0.ask(LEADER), |role| !role.is_empty());
        role.trim_start_matches("global_").parse().unwrap()
    }

    /// Waits until a global leads that is not this one.
    pub(super) fn another_leads(&self, than: usize) {
        eventually("another global leads", || self.leader(), |leader| *leader != than);
    }

    /// Waits until a global was not heard for so many milliseconds, by the clock of the database.
    pub(super) fn was_silent(&self, global: usize, milliseconds: u32) {
        let asked = format!(
            "SELECT coalesce(max(heartbeat), '-infinity') < clock_timestamp() - interval '{milliseconds} milliseconds'
             FROM instances JOIN audit.lives ON instance = name WHERE role = 'global_{global}'"
        );
        eventually("a global is silent", || self.0.ask(&asked), |so| so == "t");
    }

    /// Takes the lead over in a moment in which others wait to write, as one does whose leader was not heard. Whatever they
    /// were about to write as the leader comes too late.
    pub(super) fn take_over(&self) {
        // Shorter than others wait for their turn.
        self.0.execute(&format!(
            "BEGIN; SELECT FROM store_revision FOR UPDATE; SELECT pg_sleep(1);
             UPDATE store_revision SET epoch = epoch + 1, leader = '{PLAYED}'; COMMIT"
        ));
    }

    /// Nothing that only a leader writes was written by anybody else, each epoch was that of one, and there was something.
    pub(super) fn judge(&self) {
        let read = || Judged::of(&serde_json::from_str::<Vec<Write>>(&self.0.ask(READ)).unwrap());
        let judged = eventually("the leader did something for all", read, |judged| judged.of_leaders > 0);
        assert!(judged.wrong.is_empty(), "{:#?}", judged.wrong);
        eprintln!("{} writes that only a leader makes, in {} epochs", judged.of_leaders, judged.epochs);
    }
}

/// What is to be said of all writes.
#[derive(Debug, Default)]
struct Judged {
    /// How many there were of those that only a leader makes.
    of_leaders: usize,
    epochs: usize,
    wrong: Vec<String>,
}

impl Judged {
    fn of(writes: &[Write]) -> Self {
        let mut judged = Self::default();
        let mut led: BTreeMap<u64, &str> = BTreeMap::new();
        let mut insights: BTreeMap<&str, ZoneInsight> = BTreeMap::new();
        for write in writes {
            let leader = write.leader.as_deref().unwrap_or_default();
            if *led.entry(write.epoch).or_insert(leader) != leader {
                judged.wrong.push(format!("{leader} led in the epoch of {}: {write:?}", led[&write.epoch]));
            }
            let why = if write.kind == "ZoneInsight" {
                let insight = write.insight();
                let before = insights.insert(&write.name, insight.clone()).unwrap_or_default();
                ends_of_others(write, &before, &insight)
            } else {
                moves_a_rotation(write, writes)
            };
            let Some(why) = why else { continue };
            judged.of_leaders += 1;
            if write.writer.as_deref() != Some(leader) {
                let (revision, writer, epoch) = (write.revision, &write.writer, write.epoch);
                judged.wrong.push(format!("revision {revision}: {writer:?} {why} while {leader} led in epoch {epoch}"));
            }
        }
        judged.epochs = led.len();
        judged
    }
}

/// Which subscriptions of other instances were open before it.
fn ends_of_others(write: &Write, before: &ZoneInsight, after: &ZoneInsight) -> Option<String> {
    let open: BTreeSet<_> =
        before.subscriptions.iter().filter(|one| one.disconnect_time.is_none()).map(|one| one.id.as_str()).collect();
    let is_of_another = |owner: &str| Some(owner) != write.writer.as_deref();
    let mut ended = after
        .subscriptions
        .iter()
        .filter(|one| one.disconnect_time.is_some() && open.contains(one.id.as_str()))
        .map(|one| one.global_instance_id.as_str())
        .filter(|owner| is_of_another(owner));
    ended.next().map(|owner| format!("ended what {owner} opened with {}", write.name))
}

/// Whether it is a step that an automatic rotation makes by itself. Somebody who begins one makes a key in the same moment.
fn moves_a_rotation(write: &Write, writes: &[Write]) -> Option<String> {
    const KEY: &str = "control-plane-signing-key";
    let is_key = |write: &Write| write.kind == "GlobalSecret" && write.name.starts_with(KEY);
    let makes_a_key = || {
        let first = writes.partition_point(|other| other.revision < write.revision);
        let same = writes[first..].iter().take_while(|other| other.revision == write.revision);
        same.into_iter().any(|other| is_key(other) && !other.is_deletion)
    };
    let is_record = write.kind == "Record" && write.name == format!("rotation.{KEY}");
    let is_of_a_leader = (is_key(write) && write.is_deletion) || (is_record && !makes_a_key());
    is_of_a_leader.then(|| format!("wrote a step of the rotation ({} {})", write.kind, write.name))
}

#[test]
fn the_audit_finds_what_an_instance_wrote_that_did_not_lead() {
    use wire::kuma::system::v1alpha1::KdsSubscription;
    let insight = |owner: &str, is_over: bool| {
        let disconnect_time = is_over.then(prost_types::Timestamp::default);
        let one =
            KdsSubscription { id: "s".into(), global_instance_id: owner.into(), disconnect_time, ..Default::default() };
        Some(STANDARD.encode(ZoneInsight { subscriptions: vec![one], ..Default::default() }.encode_to_vec()))
    };
    let write = |revision, writer: &str, (leader, epoch): (&str, u64), kind: &str, name: &str| Write {
        revision,
        writer: Some(writer.to_owned()),
        leader: Some(leader.to_owned()),
        epoch,
        kind: kind.to_owned(),
        name: name.to_owned(),
        is_deletion: false,
        insight: None,
    };
    let wrong = |writes: &[Write]| (Judged::of(writes).of_leaders, Judged::of(writes).wrong.len());
    let told =
        |revision, writer, lead, insight| Write { insight, ..write(revision, writer, lead, "ZoneInsight", "west") };
    // Whoever opened it may end it, and another one that leads.
    let opened = told(1, "a", ("b", 1), insight("a", false));
    assert_eq!(wrong(&[opened.clone(), told(2, "a", ("b", 1), insight("a", true))]), (0, 0));
    assert_eq!(wrong(&[opened.clone(), told(2, "b", ("b", 1), insight("a", true))]), (1, 0));
    assert_eq!(wrong(&[opened, told(2, "b", ("c", 2), insight("a", true))]), (1, 1));
    // Anybody begins a rotation, and the one that leads goes on with it.
    let record = |revision, lead| write(revision, "a", lead, "Record", "rotation.control-plane-signing-key");
    let key = |revision, lead| write(revision, "a", lead, "GlobalSecret", "control-plane-signing-key-0002");
    assert_eq!(wrong(&[record(1, ("b", 1)), key(1, ("b", 1))]), (0, 0));
    assert_eq!(wrong(&[record(1, ("a", 1)), record(2, ("b", 2))]), (2, 1));
    let gone = Write { is_deletion: true, ..key(1, ("b", 1)) };
    assert_eq!(wrong(&[record(1, ("b", 1)), gone]), (2, 2));
    // An epoch is that of one.
    let put = |revision, lead| write(revision, "a", lead, "MeshTimeout", "t");
    assert_eq!(wrong(&[put(1, ("a", 1)), put(2, ("b", 2))]), (0, 0));
    assert_eq!(wrong(&[put(1, ("a", 1)), put(2, ("b", 1))]), (0, 1));
}
