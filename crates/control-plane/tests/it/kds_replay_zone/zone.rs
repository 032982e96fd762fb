//! Our zone under test: the program, and what it was given over its REST API.

use std::{collections::BTreeMap, net::SocketAddr};

use model::{Kind, Scope, SpecForm, labels, proto};
use prost::Message as _;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use testkit::{client, program::ControlPlane};
use wire::{envoy::service::discovery::v3::Resource, kuma::mesh::v1alpha1::KumaResource};

use crate::stage::{inside, world::KUMA_CP};

const IN_MEMORY: [(&str, &str); 1] = [("KUMA_STORE_TYPE", "memory")];

/// Labels that a control plane computes; the others were written by a user.
const COMPUTED: [&str; 5] = [labels::DISPLAY_NAME, labels::ENV, labels::MESH, labels::ZONE, "kuma.io/proxy-type"];

/// What the zone has of its own: kind and name on the wire to what was written.
pub(crate) type Own = BTreeMap<(String, String), Written>;

/// A resource as it was written over REST.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    path: String,
    body: Value,
}

/// Our zone, running.
pub(crate) struct Zone {
    program: ControlPlane,
    http: SocketAddr,
    pub(crate) own: Own,
    _folder: TempDir,
}

impl Zone {
    /// Starts a zone that dials this global. Its store is empty and ends with it.
    pub(crate) fn start(name: &str, global: SocketAddr, settings: &[(&str, &str)]) -> Self {
        Self::over(tempfile::tempdir().unwrap(), name, global, &[&IN_MEMORY, settings].concat())
    }

    /// The same inside the test, which is cheaper.
    pub(crate) fn inside(name: &str, global: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let start = |all: &[(&str, &str)]| ControlPlane::inside(inside::begin, all);
        Self::begun(tempfile::tempdir().unwrap(), name, global, &[&IN_MEMORY, settings].concat(), start)
    }

    /// Starts a zone over a folder that may hold a store.
    pub(crate) fn over(folder: TempDir, name: &str, global: SocketAddr, settings: &[(&str, &str)]) -> Self {
        Self::begun(folder, name, global, settings, |all| ControlPlane::start(KUMA_CP, all, &[]))
    }

    fn begun(
        folder: TempDir,
        name: &str,
        global: SocketAddr,
        settings: &[(&str, &str)],
        start: impl FnOnce(&[(&str, &str)]) -> ControlPlane,
    ) -> Self {
        let work = folder.path().to_str().unwrap().to_owned();
        let address = format!("grpc://{global}");
        let mut all = vec![
            ("KUMA_MODE", "zone"),
            ("KUMA_GENERAL_WORK_DIR", work.as_str()),
            ("KUMA_MULTIZONE_ZONE_NAME", name),
            ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", address.as_str()),
            // Tests wait for reconnects: make them prompt.
            ("KUMA_GENERAL_RESILIENT_COMPONENT_BASE_BACKOFF", "100ms"),
            ("KUMA_GENERAL_RESILIENT_COMPONENT_MAX_BACKOFF", "500ms"),
        ];
        all.extend_from_slice(settings);
        let program = start(&all);
        let http = program.address("http");
        Self { program, http, own: Own::new(), _folder: folder }
    }

    /// Stops it as an operator does.
    pub(crate) fn stop(mut self) {
        let status = self.program.terminate();
        assert!(status.success(), "{status}");
    }

    /// The id of its process: the same one as long as it was not started again.
    pub(crate) fn process(&self) -> u32 {
        self.program.id()
    }

    /// Waits until its log says why it lost its connection.
    pub(crate) fn lost_because(&self, reason: &str) {
        self.program.line(&["not connected to the global control plane", reason]);
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// Writes what a recorded zone sent, as a user wrote it there. Returns what REST says against it.
    pub(crate) fn write(&mut self, kind: Kind, resource: &Resource, port: u16) -> Result<(), String> {
        let written = document(kind, &kuma(resource), port);
        let (status, text) = client::ask(self.http, "PUT", &written.path, Some(&written.body));
        if !matches!(status, 200 | 201) {
            return Err(format!("{status}: {text}"));
        }
        self.own.insert((kind.name.to_owned(), resource.name.clone()), written);
        Ok(())
    }

    /// Whether the zone has what it would be given.
    pub(crate) fn has(&self, kind: Kind, resource: &Resource, port: u16) -> bool {
        let known = self.own.get(&(kind.name.to_owned(), resource.name.clone()));
        known == Some(&document(kind, &kuma(resource), port))
    }

    /// Deletes what was written under this name on the wire; `false` if there is nothing.
    pub(crate) fn delete(&mut self, kind: Kind, name: &str) -> bool {
        let Some(written) = self.own.remove(&(kind.name.to_owned(), name.to_owned())) else { return false };
        let (status, text) = client::ask(self.http, "DELETE", &written.path, None);
        assert_eq!(status, 200, "DELETE {}: {text}", written.path);
        true
    }

    /// Writes a secret of the zone's own into mesh `default`.
    pub(crate) fn write_secret(&self, name: &str, data: &str) {
        let body = json!({"type": "Secret", "mesh": "default", "name": name, "data": data});
        let (status, text) = client::ask(self.http, "PUT", &format!("/meshes/default/secrets/{name}"), Some(&body));
        assert_eq!(status, 201, "{text}");
    }

    /// Writes a policy of the zone's own into mesh `default`, with one more label perhaps; returns the status.
    pub(crate) fn write_policy(&self, kind: &str, name: &str, label: Option<(&str, &str)>, spec: &Value) -> u16 {
        let path = Kind::by_name(kind).unwrap().path;
        let labels: BTreeMap<_, _> = [(labels::ORIGIN, labels::ORIGIN_ZONE)].into_iter().chain(label).collect();
        let body = json!({"type": kind, "mesh": "default", "name": name, "labels": labels, "spec": spec});
        client::ask(self.http, "PUT", &format!("/meshes/default/{path}/{name}"), Some(&body)).0
    }

    /// The data of a secret in mesh `default`, in base64.
    pub(crate) fn secret(&self, name: &str) -> String {
        client::get(self.http, &format!("/meshes/default/secrets/{name}"))["data"].as_str().unwrap().to_owned()
    }
}

/// The content of a resource on the wire.
pub(crate) fn kuma(resource: &Resource) -> KumaResource {
    KumaResource::decode(resource.resource.as_ref().unwrap().value.as_slice()).unwrap()
}

/// The spec as REST shows it.
pub(crate) fn spec(kind: Kind, kuma: &KumaResource) -> Map<String, Value> {
    let bytes = kuma.spec.as_ref().map(|spec| spec.value.clone()).unwrap_or_default();
    match kind.spec {
        SpecForm::Json => serde_json::from_slice(&bytes).unwrap(),
        SpecForm::Proto(_) => proto::spec_to_json(kind, &bytes).unwrap(),
    }
}

/// Puts the port of the small Envoy where a proxy says its admin port.
pub(crate) fn with_admin_port(mut spec: Map<String, Value>, port: u16) -> Map<String, Value> {
    let networking = spec.get_mut("networking").and_then(Value::as_object_mut);
    if let Some(admin) = networking.and_then(|networking| networking.get_mut("admin")) {
        admin["port"] = port.into();
    }
    spec
}

fn document(kind: Kind, kuma: &KumaResource, port: u16) -> Written {
    let meta = kuma.meta.clone().unwrap();
    let name = meta.labels.get(labels::DISPLAY_NAME).unwrap_or(&meta.name).clone();
    let labels: BTreeMap<_, _> = meta.labels.into_iter().filter(|(key, _)| !COMPUTED.contains(&key.as_str())).collect();
    let mut body = Map::new();
    body.insert("type".to_owned(), kind.name.into());
    body.insert("name".to_owned(), name.clone().into());
    body.insert("labels".to_owned(), json!(labels));
    let mesh = if kind.scope == Scope::Mesh { format!("/meshes/{}", meta.mesh) } else { String::new() };
    if kind.scope == Scope::Mesh {
        body.insert("mesh".to_owned(), meta.mesh.into());
    }
    let spec = with_admin_port(spec(kind, kuma), port);
    match kind.spec {
        SpecForm::Json => {
            body.insert("spec".to_owned(), Value::Object(spec));
        }
        SpecForm::Proto(_) => body.extend(spec),
    }
    Written { path: format!("{mesh}/{}/{name}", kind.path), body: Value::Object(body) }
}
