//! What a new mesh comes with: its policies and the key that signs its data plane tokens.

use bytes::Bytes;
use model::{Key, Kind, Labels, Resource, defaults, labels, proto, secret};
use serde_json::Value;
use store::{Batch, Precondition, Write};

use super::{MeshDefaults, Side, WriteError};

/// Returns everything that is written with a new mesh, in one batch.
///
/// `private_key` is what [`signing_key`] returned: the spec of the Secret `dataplane-token-signing-key-<mesh>-1`.
pub fn mesh_batch(mesh: Resource, side: &Side, private_key: Bytes, policies: MeshDefaults) -> Batch {
    let name = mesh.key.name.clone();
    let (owner, now) = (mesh.key.clone(), mesh.modified);
    let skip = match policies {
        MeshDefaults::AsTheMeshSays => skipped(&mesh.spec),
        MeshDefaults::Never => vec!["*".to_owned()],
    };
    let owned = |kind: Kind, own_name: String, labels: Labels, spec: Bytes| Write::Put {
        resource: Resource {
            key: Key::in_mesh(kind, &name, own_name),
            labels,
            spec,
            status: kind.empty_status.map(|status| Bytes::from_static(status.as_bytes())),
            owner: Some(owner.clone()),
            created: now,
            modified: now,
        },
        // What a deleted mesh of the same name left behind is replaced.
        expect: Precondition::Any,
    };
    let mut writes = vec![Write::Put { resource: mesh, expect: Precondition::Absent }];
    for (kind, own_name, own_labels, spec) in defaults::mesh_policies(&name, &skip) {
        writes.push(owned(kind, own_name, of_this_side(own_labels, side), spec));
    }
    let key_name = format!("dataplane-token-signing-key-{name}-1");
    writes.push(owned(Kind::SECRET, key_name, Labels::new(), private_key));
    Batch::of(writes)
}

/// Makes a signing key: the spec of a Secret. Takes tens of milliseconds; not for async code.
pub fn signing_key() -> Result<Bytes, WriteError> {
    Ok(secret::encode(tokens::generate_signing_key().reveal().as_bytes()))
}

fn skipped(spec: &[u8]) -> Vec<String> {
    let fields = proto::spec_to_json(Kind::MESH, spec).unwrap_or_default();
    let names = fields.get("skipCreatingInitialPolicies").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The defaults come with the labels of a global control plane.
fn of_this_side(mut given: Labels, side: &Side) -> Labels {
    if let Some(zone) = side.zone() {
        given.insert(labels::ORIGIN.to_owned(), labels::ORIGIN_ZONE.to_owned());
        given.insert(labels::ZONE.to_owned(), zone.to_owned());
        given.insert(labels::ENV.to_owned(), "universal".to_owned());
    }
    given
}
