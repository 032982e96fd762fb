//! Rotations of signing keys, carried out: evidence is gathered, a step is judged, and its record and its key are written in
//! one batch, or neither.
//!
//! ```text
//! registry, insights, ledger, ring ─► Evidence ─┐
//! record (with its version) ────────────────────┴► tokens::rotation::step ─► record + key, compare-and-set ─► ring
//! ```
//!
//! The rules are in [`tokens::rotation`]. What goes by itself the instance does that leads. Two operators may try at once
//! wherever they are, and the store lets one of them through; the other one looks again and finds what was done. A crash leaves
//! what was before the batch, or after it. Evidence is gathered after the record was read: whoever writes a step meanwhile makes it worthless.

mod automatic;
mod evidence;
mod metrics;
mod writing;

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use model::{Key, Kind};
use store::{Batch, Precondition, Query, ResourceStore, StoreError, Version};
use thiserror::Error;
use tokens::{
    Family,
    rotation::{self, Command, Order, Position, Refused, State, Status, Step, Times},
};
use tokio::time::timeout;
use tracing::{info, warn};

pub(crate) use self::metrics::RotationMetrics;
use self::{evidence::Seen, writing::NotWritten};
use crate::{
    access::{Denied, Permit},
    clock::Clock,
    cluster::{Cluster, Epoch},
    config::GlobalAuth,
    issuing::KeyNotMade,
    keys::Keys,
    ledger::Ledger,
    observe::shown,
    records,
    tasks::{OnError, Tasks},
    zones::{confirmed::Confirmed, insight::Insights, registry::Registry},
};

/// How often a step is tried again because somebody else wrote meanwhile.
const ATTEMPTS: usize = 5;
/// For how long whoever made a step waits until it is in force.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(5);

/// What evidence is gathered from.
pub(crate) struct Sources {
    pub(crate) store: Arc<dyn ResourceStore>,
    pub(crate) clock: Clock,
    pub(crate) keys: Keys,
    pub(crate) registry: Registry,
    pub(crate) insights: Insights,
    /// What zones confirmed of the keys that they are sent from here; none where they are sent none, and verify nothing
    /// with them.
    pub(crate) confirmed: Option<Confirmed>,
    pub(crate) ledger: Ledger,
    /// All instances: each signs and verifies.
    pub(crate) cluster: Cluster,
    pub(crate) times: Times,
    pub(crate) metrics: RotationMetrics,
}

/// The rotations of all families. Cheap to clone.
#[derive(Clone)]
pub struct Rotations(Arc<Sources>);

/// A step as somebody asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) command: Command,
    /// The same each time it is sent.
    pub(crate) id: Option<String>,
    /// Where the rotation must stand.
    pub(crate) expect: Option<Position>,
    pub(crate) force: bool,
    /// Say what would happen, and do nothing.
    pub(crate) dry_run: bool,
}

/// What came of a step.
#[derive(Debug)]
pub(crate) struct Made {
    /// Where the rotation stands now; before the step, if it was a dry run.
    pub(crate) status: Status,
    /// Who was cut off, or would be.
    pub(crate) cut_off: Vec<rotation::Blocker>,
}

/// Why a step was not made, or a status not told.
#[derive(Debug, Error)]
pub(crate) enum NotMade {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The rules say no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The record says nothing.
    #[error("{problem}")]
    Damaged {
        /// Why, and what to do.
        problem: String,
        /// Of the record.
        version: Version,
        /// The highest serial that is known to be given.
        highest: u64,
    },
    /// There is no such mesh.
    #[error("there is no mesh {mesh:?}")]
    NoMesh {
        /// Its name.
        mesh: String,
    },
    /// The key that signs is none of the store.
    #[error(
        "tokens of this family are signed with the key {kid:?} of the settings (signers), and a key of the store would sign none: \
         change what the settings name, and keep the public key of before in publicKeys until its tokens have ended; \
         a rotation that is under way can be rolled back"
    )]
    OfSettings {
        /// The name of the key.
        kid: String,
    },
    /// The store could not.
    #[error("the store did not answer")]
    Store(#[from] StoreError),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyNotMade),
    /// Others wrote each time.
    #[error("others write to this rotation all the time, try again")]
    Busy,
    /// The record cannot be written down.
    #[error("the record of the rotation cannot be written")]
    Unwritable(#[source] serde_json::Error),
}

/// The times of the settings.
pub(crate) fn times(auth: &GlobalAuth) -> Times {
    let signed = |time: Duration| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    Times {
        recent_zones: signed(auth.rotation.recent_zones),
        patience: signed(auth.rotation.patience),
        leeway: signed(auth.leeway),
    }
}

impl Rotations {
    /// Starts what makes the steps of automatic rotations.
    pub(crate) fn start(sources: Sources, tasks: &Tasks) -> Self {
        let rotations = Self(Arc::new(sources));
        tasks.spawn("rotations", OnError::StopProgram, automatic::run(rotations.clone(), tasks.clone()));
        rotations
    }

    /// Where the rotations of all families stand.
    pub(crate) async fn statuses(&self, permit: &Permit) -> Result<Vec<Status>, NotMade> {
        permit.read(Kind::GLOBAL_SECRET)?;
        let mut statuses = Vec::new();
        for family in self.families().await? {
            statuses.push(self.told(&family).await?);
        }
        Ok(statuses)
    }

    /// Where the rotation of a family stands.
    pub(crate) async fn status(&self, permit: &Permit, family: &Family) -> Result<Status, NotMade> {
        permit.read(Kind::GLOBAL_SECRET)?;
        self.check_mesh(family).await?;
        self.told(family).await
    }

    /// Where the rotation of a family stands; that its record cannot be read is told as well.
    async fn told(&self, family: &Family) -> Result<Status, NotMade> {
        match self.look(family).await {
            Ok(seen) => Ok(Status::of(&seen.state, &seen.evidence)),
            Err(NotMade::Damaged { problem, .. }) => Ok(Status::unreadable(family, problem)),
            Err(other) => Err(other),
        }
    }

    async fn check_mesh(&self, family: &Family) -> Result<(), NotMade> {
        let Some(mesh) = family.mesh() else { return Ok(()) };
        let found = self.0.store.get(&Key::global(Kind::MESH, mesh)).await?;
        found.map(drop).ok_or_else(|| NotMade::NoMesh { mesh: mesh.to_owned() })
    }

    /// Makes a step, or says what it would do. Returns when it is in force.
    pub(crate) async fn make(&self, permit: &Permit, family: &Family, wish: Wish) -> Result<Made, NotMade> {
        permit.write(Kind::GLOBAL_SECRET)?;
        self.check_mesh(family).await?;
        let Wish { command, id, expect, force, dry_run } = wish;
        if let (Some(kid), false) = (self.0.keys.ring().signs_outside(family), command == Command::Rollback) {
            return Err(NotMade::OfSettings { kid: kid.to_owned() });
        }
        let order = Order { command, by: permit.caller().name().to_owned(), id, expect, force };
        self.see_all().await;
        for _attempt in 0..ATTEMPTS {
            let seen = match self.look(family).await {
                Err(NotMade::Damaged { version, highest, .. })
                    if order.command == Command::Rollback && order.force && !dry_run =>
                {
                    self.drop_record(family, version, highest, &order.by).await?;
                    return Ok(Made { status: self.told(family).await?, cut_off: Vec::new() });
                }
                seen => seen?,
            };
            let step = rotation::step(&seen.state, &seen.evidence, &order);
            let step = step.inspect_err(|refused| tell_refusal(family, &order, refused))?;
            if dry_run {
                return Ok(Made { status: Status::of(&seen.state, &seen.evidence), cut_off: step.cut_off });
            }
            if !self.write(family, &seen, &step, None).await? {
                continue;
            }
            if step.state != seen.state {
                tell(family, order.command.word(), &order.by, &step);
            }
            let now = self.look(family).await?;
            return Ok(Made { status: Status::of(&now.state, &now.evidence), cut_off: step.cut_off });
        }
        Err(NotMade::Busy)
    }

    /// Writes a step, in this epoch if that is whose it is, and waits a while until it is in force on all instances: the next
    /// step needs that. Returns whether it was written: not if somebody else wrote, or leads.
    async fn write(&self, family: &Family, seen: &Seen, step: &Step, epoch: Option<Epoch>) -> Result<bool, NotMade> {
        if step.state == seen.state {
            return Ok(true);
        }
        let sources = &self.0;
        let written = writing::write(&*sources.store, family, seen, step, epoch, sources.clock.now()).await;
        let version = match written {
            Ok(version) => version,
            Err(NotWritten::Overtaken) => return Ok(false),
            Err(NotWritten::Store(problem)) => return Err(NotMade::Store(problem)),
            Err(NotWritten::Key(problem)) => return Err(NotMade::Key(problem)),
            Err(NotWritten::Record(problem)) => return Err(NotMade::Unwritable(problem)),
        };
        let wanted = step.state.clone();
        let mut ring = sources.keys.subscribe();
        let in_force = async {
            let here = ring.wait_for(|ring| writing::is_in_force(&wanted, family, ring)).await.is_ok();
            sources.cluster.all_have_keys(version).await;
            here
        };
        if !matches!(timeout(IN_FORCE_WITHIN, in_force).await, Ok(true)) {
            warn!(family = family.key_word(), "a step of a rotation is written, and not in force on all instances yet");
        }
        Ok(true)
    }

    /// Begins a new record in the place of one that cannot be read: of the rotation that was under way nothing is known, and the
    /// keys that are there are all there is.
    async fn drop_record(&self, family: &Family, version: Version, highest: u64, by: &str) -> Result<(), NotMade> {
        let state = State { highest, ..State::default() };
        let record = records::rotation::Rotations { family: family.clone(), state };
        let write = records::write(&record, Precondition::Version(version), self.0.clock.now());
        let batch = Batch::for_safety(vec![write.map_err(NotMade::Unwritable)?]);
        match self.0.store.apply(batch).await {
            Ok(_) => {}
            Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => return Err(NotMade::Busy),
            Err(other) => return Err(other.into()),
        }
        let mesh = family.mesh().unwrap_or_default();
        warn!(caller = %shown::name(by), family = family.key_word(), mesh, "a record of rotations that could not be read is dropped");
        Ok(())
    }

    /// Has those seen that came a moment ago, and what the others have taken over by now. Who is cut off judges by what it knew: it
    /// makes no step of its own, for it leads no more, and the one of an operator only while nobody else wrote since.
    async fn see_all(&self) {
        let _cut_off = timeout(IN_FORCE_WITHIN, self.0.cluster.look_again()).await;
    }

    /// Looks at the record of a family and then at the evidence.
    async fn look(&self, family: &Family) -> Result<Seen, NotMade> {
        evidence::look(&self.0, family).await
    }

    /// The families of which there are keys or records: those of the whole control plane, and one for each mesh with a key.
    async fn families(&self) -> Result<Vec<Family>, NotMade> {
        let secrets = self.0.store.list(&Query::all(Kind::SECRET)).await?;
        let meshes = secrets.items.iter().filter_map(|stored| records::rotation::secret(&stored.resource.key));
        let mut families = vec![Family::ControlPlane, Family::Zone, Family::User];
        families.extend(meshes.map(|name| name.family));
        families.sort();
        families.dedup();
        Ok(families)
    }
}

/// The audit line of a step.
fn tell(family: &Family, step: &str, by: &str, made: &Step) {
    let to = made.state.rotation.as_ref().map_or(Position::Idle, rotation::Rotation::position).words();
    let mesh = family.mesh().unwrap_or_default();
    let cut_off: Vec<String> = made.cut_off.iter().map(rotation::Blocker::who).collect();
    let forced = !cut_off.is_empty();
    info!(
        caller = %shown::name(by), family = family.key_word(), mesh, step, now = to, forced,
        cut_off = &*shown::escaped(&cut_off.join("; "), LONGEST_LIST), "rotation step made"
    );
}

/// The audit line of a step that was not made.
fn tell_refusal(family: &Family, order: &Order, refused: &Refused) {
    let (step, mesh) = (order.command.word(), family.mesh().unwrap_or_default());
    let reason = refused.to_string();
    info!(
        caller = %shown::name(&order.by), family = family.key_word(), mesh, step,
        reason = &*shown::escaped(&reason, LONGEST_LIST), "rotation step not made"
    );
}

/// The most that a list takes in a line, in bytes.
const LONGEST_LIST: usize = 2048;

#[cfg(test)]
mod simulation;
