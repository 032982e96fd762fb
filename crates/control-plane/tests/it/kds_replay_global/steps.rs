//! What the scenario did besides changing resources: zones disabled and deleted, a global that restarts, and questions over
//! REST that no message shows.

use serde_json::{Value, json};
use testkit::program::eventually;

use super::{
    admin::impatient,
    play::Player,
    recording::{Event, Rpc},
};

impl Player {
    /// The next step begins: the one before has left nothing that the recording does not have.
    pub(crate) async fn next_step(&mut self, text: String) {
        eprintln!("{}: {text}", self.recording.folder);
        self.nothing_else().await;
        self.nothing_else_of_zones().await;
        self.after_probe();
        if self.step.contains("zone stops; REST asks again") {
            self.offline();
        }
        self.step = text;
        let step = self.step.clone();
        match step.as_str() {
            "global restarts (memory store: it comes back empty)" => self.restart().await,
            "global: the zone is disabled, then enabled again" => {
                self.enable("zone-1", false);
                self.nothing_else().await;
                self.enable("zone-1", true);
            }
            "global: zone-1 is disabled" => {
                self.lists();
                self.enable("zone-1", false);
            }
            "global: zone-1 is enabled again" => self.enable("zone-1", true),
            "global: zone-1 is to be deleted while online" => {
                let (status, body) = self.global.rest("DELETE", "/zones/zone-1", None);
                assert_eq!(status, 400);
                assert!(self.recorded(&body), "{body}");
            }
            "global: zone-1 is deleted" => self.delete_zone("zone-1"),
            "REST asks right after the zone came back" => self.asked_early().await,
            "end" => self.overview(),
            _ => self.probe(&step).await,
        }
    }

    fn enable(&self, zone: &str, enabled: bool) {
        let document = json!({"type": "Zone", "name": zone, "enabled": enabled});
        let (status, body) = self.global.rest("PUT", &format!("/zones/{zone}"), Some(&document));
        assert_eq!(status, 200, "{body}");
    }

    fn delete_zone(&mut self, zone: &str) {
        let delete = || self.global.rest("DELETE", &format!("/zones/{zone}"), None);
        // Its streams are gone, which global notices a moment later.
        eventually("the zone is deleted", delete, |(status, _)| *status == 200);
        self.reported.retain(|(of, _), _| of != zone);
    }

    /// A real zone is offline for the first ten seconds of a connection; ours is asked at once.
    async fn asked_early(&mut self) {
        let lines = self.recording.lines[..self.index].iter().rev();
        let asked = lines.clone().find_map(|line| match &line.event {
            Event::FromZone(Rpc::ZoneToGlobal, payload) if payload.response().type_url == "Dataplane" => {
                payload.response().resources.first().map(|one| (line.connection, one.name.clone()))
            }
            _ => None,
        });
        let (connection, name) = asked.expect("a proxy");
        let name = name.split_once('.').expect("a mesh").0.to_owned();
        let path = format!("/meshes/default/dataplanes/{name}/clusters");
        let caller = impatient(self.global.http(), &path).await;
        assert!(self.stream((connection, Rpc::Clusters)).next().await.is_some());
        drop(caller);
        self.note("REST", "asks the zone", "the zone is offline");
    }

    /// A zone that stopped is not asked.
    fn offline(&self) {
        let (status, list) = self.global.rest("GET", "/meshes/default/dataplanes", None);
        assert_eq!(status, 200);
        let list: Value = serde_json::from_str(&list).expect("JSON");
        let name = list["items"][0]["name"].as_str().expect("a proxy").to_owned();
        let ask = || self.global.rest("GET", &format!("/meshes/default/dataplanes/{name}/xds"), None);
        let (_, body) =
            eventually("the zone is offline", ask, |(status, body)| *status == 400 && body.contains("zone is offline"));
        assert!(self.recorded(&body), "{body}");
    }

    /// Whether the transcript has an error as it is.
    fn recorded(&self, error: &str) -> bool {
        let error: Value = serde_json::from_str(error).expect("JSON");
        let mut rest = self.recording.transcript.as_str();
        while let Some(at) = rest.find('{') {
            rest = &rest[at..];
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
            if values.next().is_some_and(|value| value.is_ok_and(|value| value == error)) {
                return true;
            }
            rest = &rest[1..];
        }
        false
    }
}
