//! Says of a secret in a list why its data is not there. That it is not is decided where lists are read ([`Call::list`]).

use model::{Kind, Resource};
use serde_json::Value;

use super::Call;

/// The member that stands in the place of `data`; none of a document, so that what is shown cannot be written back.
const HIDDEN: &str = "dataHidden";
const REASON: &str = "signing keys are shown to the administrator on this machine and to access.static.viewSigningKeys";

/// Adds the reason to a secret of which nothing was read for the caller.
pub(super) fn said(call: &Call<'_>, resource: &Resource, mut shown: Value) -> Value {
    let kind = resource.key.kind;
    let is_secret = kind == Kind::SECRET || kind == Kind::GLOBAL_SECRET;
    if is_secret
        && resource.spec.is_empty()
        && !call.permit.sees_signing_keys()
        && let Some(fields) = shown.as_object_mut()
    {
        fields.remove("data");
        fields.insert(HIDDEN.to_owned(), REASON.into());
    }
    shown
}
