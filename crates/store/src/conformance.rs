//! The cases that every backend passes: what the crate promises, one function a rule.
//!
//! A backend's tests call [`conformance_tests!`](crate::conformance_tests) with an expression that makes a [`Subject`];
//! it becomes one test a case. Cases call [`Subject::step`] between what they do, which a durable backend may use to
//! close and open the store.
//!
//! A case says which [`Promise`] it needs, if that is one that a store may lack. No case is skipped: a store that says
//! that it lacks a promise must fail the cases that need it, so that neither the marks nor what it says get wrong.
#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests, public so that every backend can run them")]

mod lists;
mod owners;
mod picture;
mod resources;
mod watches;
mod writes;

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;

use crate::ResourceStore;

pub use lists::*;
pub use owners::*;
pub use picture::Picture;
pub use watches::*;
pub use writes::*;

/// A store, shared.
pub type Shared = Arc<dyn ResourceStore>;

/// What a store may lack; `docs/stores.md` says what callers do then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A batch happens whole or not at all, and is one step: one version, one look.
    Batches,
    /// One counter for the whole store: a later write has a higher version, whatever it writes.
    Versions,
    /// What is owned goes with its owner, what is in a mesh with the mesh, and nothing is owned by what is not there.
    Owners,
    /// A watch tells the changes of all its kinds in the order in which they happened.
    Order,
}

impl Promise {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Batches, Self::Versions, Self::Owners, Self::Order];
}

/// A store under test, empty at first.
pub struct Subject {
    lacks: Vec<Promise>,
    store: Option<Shared>,
    reopen: Option<Box<dyn FnMut() -> Shared + Send>>,
    /// Dropped after the store.
    _kept: Option<Box<dyn Send>>,
}

impl Subject {
    /// Returns a subject that stays open.
    pub fn open(store: impl ResourceStore) -> Self {
        Self { lacks: Vec::new(), store: Some(Arc::new(store)), reopen: None, _kept: None }
    }

    /// Keeps something that the store needs, like its folder.
    pub fn keeping(self, kept: impl Send + 'static) -> Self {
        Self { _kept: Some(Box::new(kept)), ..self }
    }

    /// Returns a subject that is closed and opened between the steps of each case.
    pub fn reopened<S: ResourceStore>(mut open: impl FnMut() -> S + Send + 'static) -> Self {
        let mut reopen = move || -> Shared { Arc::new(open()) };
        Self { lacks: Vec::new(), store: Some(reopen()), reopen: Some(Box::new(reopen)), _kept: None }
    }

    /// Says that the store lacks a promise.
    pub fn lacking(mut self, promise: Promise) -> Self {
        self.lacks.push(promise);
        self
    }

    /// The store.
    pub fn store(&self) -> &Shared {
        let Some(store) = &self.store else { panic!("the store did not open again") };
        store
    }

    /// Closes the store for good.
    pub fn close(&mut self) {
        self.store = None;
    }

    /// Ends a step: what was acknowledged must hold from here on.
    pub fn step(&mut self) {
        if let Some(reopen) = &mut self.reopen {
            let Some(store) = self.store.take() else { panic!("the store did not open again") };
            assert_eq!(Arc::strong_count(&store), 1, "a case holds the store over a step");
            drop(store);
            self.store = Some(reopen());
        }
    }
}

/// Runs a case that needs these promises.
pub async fn check(mut subject: Subject, needs: &[Promise], case: impl AsyncFnOnce(&mut Subject)) {
    let Some(lacked) = subject.lacks.iter().copied().find(|promise| needs.contains(promise)) else {
        return case(&mut subject).await;
    };
    let outcome = AssertUnwindSafe(case(&mut subject)).catch_unwind().await;
    assert!(
        outcome.is_err(),
        "the store keeps a promise that it says it lacks, or the case does not need it: {lacked:?}"
    );
}

/// Makes the list of cases into a macro that makes tests. A case names the promises that it needs beside those that no
/// store may lack.
macro_rules! cases {
    (($dollar:tt) $($case:ident $(needs $promise:ident $(and $more:ident)*)?,)*) => {
        /// Runs every case against the [`Subject`](crate::conformance::Subject) that the expression makes.
        #[macro_export]
        macro_rules! conformance_tests {
            ($dollar subject:expr) => {
                $(
                    #[tokio::test]
                    async fn $case() {
                        let needs = [
                            $($crate::conformance::Promise::$promise, $($crate::conformance::Promise::$more,)*)?
                        ];
                        $crate::conformance::check($dollar subject, &needs, $crate::conformance::$case).await;
                    }
                )*
            };
        }
    };
}

cases! { ($)
    // writes
    a_resource_is_returned_as_it_was_given,
    a_missing_resource_is_none,
    create_of_what_is_there_is_refused,
    change_of_what_is_missing_is_refused,
    change_of_an_old_version_is_a_conflict,
    change_of_the_known_version_is_done,
    put_replaces_all_of_a_resource,
    put_without_condition_creates_and_updates,
    delete_checks_its_condition,
    absence_is_a_condition_of_a_batch needs Batches,
    delete_of_a_missing_resource_without_condition_is_fine,
    versions_grow_with_each_batch needs Versions,
    versions_do_not_go_back_when_the_newest_is_deleted needs Versions,
    all_of_a_batch_carries_one_version needs Batches,
    a_batch_of_another_epoch_is_refused,
    a_failed_batch_changes_nothing needs Batches and Owners,
    writes_of_a_batch_see_the_ones_before needs Batches,
    an_empty_batch_is_applied needs Versions,
    of_concurrent_creates_one_wins,
    concurrent_batches_fail_alone needs Batches,
    a_large_batch_is_applied,
    what_nobody_waits_for_is_there_when_the_store_is_settled needs Versions,
    // lists
    lists_are_sorted_by_mesh_and_name,
    lists_hold_one_kind,
    a_list_of_a_mesh_holds_that_mesh_alone,
    lists_select_by_part_of_the_name,
    lists_select_by_all_labels,
    lists_of_a_zone_follow_its_label,
    pages_tell_the_total,
    // owners
    the_owned_go_with_the_owner_transitively needs Owners,
    everything_in_a_mesh_goes_with_the_mesh needs Owners,
    only_a_mesh_takes_its_members,
    an_owner_must_be_there needs Owners,
    an_owner_may_be_made_in_the_same_batch needs Owners,
    a_deleted_owner_is_no_owner_in_the_same_batch needs Owners and Batches,
    an_update_changes_the_owner needs Owners,
    a_circle_of_owners_goes_whole needs Owners,
    a_refused_delete_takes_nothing,
    an_updated_owner_keeps_what_it_owns needs Owners,
    // watches
    a_watch_of_an_empty_store_is_an_empty_picture,
    a_watch_starts_with_the_picture,
    a_watch_tells_only_its_kinds,
    a_watch_tells_a_batch_in_order needs Order,
    a_watch_tells_the_owned_before_the_owner needs Order and Owners,
    a_watch_says_nothing_of_a_failed_batch needs Batches,
    a_watch_tells_what_happens_before_it_is_read,
    a_change_is_readable_when_it_is_told,
    an_acknowledged_change_is_told_at_once,
    a_slow_watch_starts_again_and_ends_with_the_truth,
    a_watch_that_keeps_up_hears_a_large_batch needs Batches,
    a_dropped_watch_disturbs_nobody,
    no_change_is_lost_between_picture_and_events,
    a_mirror_shows_what_the_store_holds,
    a_store_of_which_all_is_read_is_fresh,
    watches_end_with_the_store,
}
