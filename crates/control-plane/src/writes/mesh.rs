//! What a new mesh comes with: its policies and the key that signs its data plane tokens.

use bytes::Bytes;
use model::{Key, Kind, Labels, Resource, defaults, labels, proto, secret};
use serde_json::Value;
use store::{Batch, Precondition, Write};
use tokens::{Family, PemKey};

use super::{MeshDefaults, Side};

/// Returns everything that is written with a new mesh, in one batch.
///
/// `key` becomes the first one that signs its data plane tokens.
pub fn mesh_batch(mesh: Resource, side: &Side, key: &PemKey, policies: MeshDefaults) -> Batch {
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
    let key_name = tokens::signing_key_name(&Family::Dataplane { mesh: name.clone() }, 1);
    writes.push(owned(Kind::SECRET, key_name, Labels::new(), secret::encode(key.reveal().as_bytes())));
    Batch::of(writes)
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
