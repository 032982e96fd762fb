//! The cases that every backend passes: what the crate promises, one function a rule.
//!
//! A backend's tests call [`conformance_tests!`](crate::conformance_tests) with an expression that makes a [`Subject`];
//! it becomes one test a case. Cases call [`Subject::step`] between what they do, which a durable backend may use to
//! close and open the store.
#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests, public so that every backend can run them")]

mod lists;
mod owners;
mod picture;
mod resources;
mod watches;
mod writes;

use std::sync::Arc;

use crate::ResourceStore;

pub use lists::*;
pub use owners::*;
pub use picture::Picture;
pub use watches::*;
pub use writes::*;

/// A store, shared.
pub type Shared = Arc<dyn ResourceStore>;

/// A store under test, empty at first.
pub struct Subject {
    store: Option<Shared>,
    reopen: Option<Box<dyn FnMut() -> Shared + Send>>,
    /// Dropped after the store.
    _kept: Option<Box<dyn Send>>,
}

impl Subject {
    /// Returns a subject that stays open.
    pub fn open(store: impl ResourceStore) -> Self {
        Self { store: Some(Arc::new(store)), reopen: None, _kept: None }
    }

    /// Keeps something that the store needs, like its folder.
    pub fn keeping(self, kept: impl Send + 'static) -> Self {
        Self { _kept: Some(Box::new(kept)), ..self }
    }

    /// Returns a subject that is closed and opened between the steps of each case.
    pub fn reopened<S: ResourceStore>(mut open: impl FnMut() -> S + Send + 'static) -> Self {
        let mut reopen = move || -> Shared { Arc::new(open()) };
        Self { store: Some(reopen()), reopen: Some(Box::new(reopen)), _kept: None }
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

/// Makes the list of cases into a macro that makes tests.
macro_rules! cases {
    (($dollar:tt) $($case:ident,)*) => {
        /// Runs every case against the [`Subject`](crate::conformance::Subject) that the expression makes.
        #[macro_export]
        macro_rules! conformance_tests {
            ($dollar subject:expr) => {
                $(
                    #[tokio::test]
                    async fn $case() {
                        let mut subject: $crate::conformance::Subject = $dollar subject;
                        $crate::conformance::$case(&mut subject).await;
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
    delete_of_a_missing_resource_without_condition_is_fine,
    versions_grow_with_each_batch,
    versions_do_not_go_back_when_the_newest_is_deleted,
    all_of_a_batch_carries_one_version,
    a_failed_batch_changes_nothing,
    writes_of_a_batch_see_the_ones_before,
    an_empty_batch_is_applied,
    of_concurrent_creates_one_wins,
    concurrent_batches_fail_alone,
    a_large_batch_is_applied,
    what_nobody_waits_for_is_there_when_the_store_is_settled,
    // lists
    lists_are_sorted_by_mesh_and_name,
    lists_hold_one_kind,
    a_list_of_a_mesh_holds_that_mesh_alone,
    lists_select_by_part_of_the_name,
    lists_select_by_all_labels,
    lists_of_a_zone_follow_its_label,
    pages_tell_the_total,
    // owners
    the_owned_go_with_the_owner_transitively,
    everything_in_a_mesh_goes_with_the_mesh,
    only_a_mesh_takes_its_members,
    an_owner_must_be_there,
    an_owner_may_be_made_in_the_same_batch,
    a_deleted_owner_is_no_owner_in_the_same_batch,
    an_update_changes_the_owner,
    a_circle_of_owners_goes_whole,
    a_refused_delete_takes_nothing,
    an_updated_owner_keeps_what_it_owns,
    // watches
    a_watch_of_an_empty_store_is_an_empty_picture,
    a_watch_starts_with_the_picture,
    a_watch_tells_only_its_kinds,
    a_watch_tells_a_batch_in_order,
    a_watch_tells_the_owned_before_the_owner,
    a_watch_says_nothing_of_a_failed_batch,
    a_watch_tells_what_happens_before_it_is_read,
    a_change_is_readable_when_it_is_told,
    an_acknowledged_change_is_told_at_once,
    a_slow_watch_starts_again_and_ends_with_the_truth,
    a_watch_that_keeps_up_hears_a_large_batch,
    a_dropped_watch_disturbs_nobody,
    no_change_is_lost_between_picture_and_events,
    a_mirror_shows_what_the_store_holds,
    a_store_of_which_all_is_read_is_fresh,
    watches_end_with_the_store,
}
