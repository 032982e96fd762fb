//! Owners: what goes with what.

use model::Kind;

use super::{
    Subject,
    resources::{
        apply, check_there, create, delete, fill, is_there, mesh, owned_by, plain, put, saying, timeout, try_apply,
        zone,
    },
};
use crate::{Outcome, Precondition, StoreError, Version};

/// A chain of owners, over kinds and meshes.
pub async fn the_owned_go_with_the_owner_transitively(subject: &mut Subject) {
    let (root, child, grandchild, other) =
        (zone("z"), timeout("m", "child"), timeout("n", "grandchild"), timeout("m", "other"));
    let resources = [plain(&root), owned_by(&root, &child), owned_by(&child, &grandchild), plain(&other)];
    fill(subject.store(), resources).await;
    subject.step();
    let outcomes = apply(subject.store(), vec![delete(&root)]).await.outcomes;
    assert_eq!(outcomes, [Outcome::Deleted]);
    subject.step();
    check_there(subject.store(), &[&root, &child, &grandchild, &other], &[&other]).await;
}

/// Also without an owner, and also what members own elsewhere.
pub async fn everything_in_a_mesh_goes_with_the_mesh(subject: &mut Subject) {
    let (root, owned, free, outside, other) =
        (mesh("m"), timeout("m", "owned"), timeout("m", "free"), zone("outside"), timeout("n", "t"));
    let resources = [plain(&root), owned_by(&root, &owned), plain(&free), owned_by(&free, &outside), plain(&other)];
    fill(subject.store(), resources).await;
    subject.step();
    apply(subject.store(), vec![delete(&root)]).await;
    subject.step();
    check_there(subject.store(), &[&root, &owned, &free, &outside, &other], &[&other]).await;
}

/// A zone called like a mesh is no mesh.
pub async fn only_a_mesh_takes_its_members(subject: &mut Subject) {
    let (same_name, in_mesh, member) = (zone("m"), timeout("x", "m"), timeout("m", "t"));
    fill(subject.store(), [&same_name, &in_mesh, &member].map(plain)).await;
    subject.step();
    apply(subject.store(), vec![delete(&same_name), delete(&in_mesh)]).await;
    subject.step();
    check_there(subject.store(), &[&same_name, &in_mesh, &member], &[&member]).await;
}

/// Nothing is owned by what is not there.
pub async fn an_owner_must_be_there(subject: &mut Subject) {
    let (owner, owned) = (mesh("missing"), timeout("missing", "t"));
    let refused = subject.store().put(owned_by(&owner, &owned), Precondition::Any).await;
    assert_eq!(refused, Err(StoreError::NotFound { key: owner.clone() }));
    subject.step();
    assert!(!is_there(subject.store(), &owned).await);
    // the condition of the write itself comes first
    let refused = subject.store().put(owned_by(&owner, &owned), Precondition::Present).await;
    assert_eq!(refused, Err(StoreError::NotFound { key: owned.clone() }));
    let refused = subject.store().put(owned_by(&owned, &owned), Precondition::Any).await;
    assert_eq!(refused, Err(StoreError::NotFound { key: owned }));
}

/// In order, as all writes of a batch.
pub async fn an_owner_may_be_made_in_the_same_batch(subject: &mut Subject) {
    let (owner, owned) = (mesh("m"), zone("z"));
    let backwards = vec![create(owned_by(&owner, &owned)), create(plain(&owner))];
    assert_eq!(try_apply(subject.store(), backwards).await, Err(StoreError::NotFound { key: owner.clone() }));
    subject.step();
    apply(subject.store(), vec![create(plain(&owner)), create(owned_by(&owner, &owned))]).await;
    subject.step();
    apply(subject.store(), vec![delete(&owner)]).await;
    subject.step();
    assert!(!is_there(subject.store(), &owned).await);
}

/// The other way round.
pub async fn a_deleted_owner_is_no_owner_in_the_same_batch(subject: &mut Subject) {
    let (owner, owned) = (mesh("m"), zone("z"));
    fill(subject.store(), [plain(&owner)]).await;
    subject.step();
    let refused = try_apply(subject.store(), vec![delete(&owner), put(owned_by(&owner, &owned))]).await;
    assert_eq!(refused, Err(StoreError::NotFound { key: owner.clone() }));
    subject.step();
    check_there(subject.store(), &[&owner, &owned], &[&owner]).await;
}

/// The last word counts.
pub async fn an_update_changes_the_owner(subject: &mut Subject) {
    let (old, new, moved, freed) = (zone("old"), zone("new"), timeout("m", "moved"), timeout("m", "freed"));
    let resources = [plain(&old), plain(&new), owned_by(&old, &moved), owned_by(&old, &freed)];
    fill(subject.store(), resources).await;
    subject.step();
    fill(subject.store(), [owned_by(&new, &moved), plain(&freed)]).await;
    subject.step();
    apply(subject.store(), vec![delete(&old)]).await;
    subject.step();
    check_there(subject.store(), &[&moved, &freed], &[&moved, &freed]).await;
    apply(subject.store(), vec![delete(&new)]).await;
    subject.step();
    check_there(subject.store(), &[&moved, &freed], &[&freed]).await;
}

/// Odd, but no reason to hang.
pub async fn a_circle_of_owners_goes_whole(subject: &mut Subject) {
    let (one, two, own) = (zone("one"), zone("two"), zone("own"));
    fill(subject.store(), [plain(&one), owned_by(&one, &two), owned_by(&two, &one), plain(&own), owned_by(&own, &own)])
        .await;
    subject.step();
    apply(subject.store(), vec![delete(&one), delete(&own)]).await;
    subject.step();
    check_there(subject.store(), &[&one, &two, &own], &[]).await;
    assert_eq!(subject.store().list(&crate::Query::all(Kind::ZONE)).await.unwrap().total, 0);
}

/// The condition of the root is the condition of all.
pub async fn a_refused_delete_takes_nothing(subject: &mut Subject) {
    let (owner, owned) = (mesh("m"), timeout("m", "t"));
    fill(subject.store(), [plain(&owner), owned_by(&owner, &owned)]).await;
    subject.step();
    let refused = subject.store().delete(&owner, Precondition::Version(Version(999))).await;
    assert_eq!(refused, Err(StoreError::Conflict { key: owner.clone() }));
    subject.step();
    check_there(subject.store(), &[&owner, &owned], &[&owner, &owned]).await;
}

/// An update is no delete, and a resource made anew owns nothing.
pub async fn an_updated_owner_keeps_what_it_owns(subject: &mut Subject) {
    let (owner, owned) = (zone("z"), timeout("m", "t"));
    fill(subject.store(), [plain(&owner), owned_by(&owner, &owned)]).await;
    subject.step();
    fill(subject.store(), [saying(&owner, "changed")]).await;
    subject.step();
    assert!(is_there(subject.store(), &owned).await);
    apply(subject.store(), vec![delete(&owner), create(plain(&owner)), create(plain(&owned)), delete(&owner)]).await;
    subject.step();
    check_there(subject.store(), &[&owner, &owned], &[&owned]).await;
}
