//! Looks into proxies through the streams of their zones, which may have come to another instance.
//!
//! ```text
//! ThroughZones ──► the likeliest instance: this one  ──► Proxies::here ──► the zone
//!                                          another one ──► its Proxies::answer ──► its Proxies::here
//! ```
//!
//! Who is asked by another instance asks the zone or says that it is not here, and never a third one.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use model::{ProxyView, Resource, ZoneName, labels};
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::{
    inter_cp::{NotAnswered, Others, Reply},
    kds::{
        global::asker::{AskError, Asker, Question},
        rpc,
    },
    rest::{AdminError, AdminRequest, EnvoyAdmin},
    zones::insight::Insights,
};

/// For a question to another instance: what a zone has there, and a little for the way.
const FAR_DEADLINE: Duration = Duration::from_secs(18);
/// For all instances together that may hold the zone.
const DEADLINE: Duration = Duration::from_secs(25);

/// The proxies of the zones whose streams are here. Cheap to clone.
#[derive(Clone)]
pub(super) struct Proxies {
    asker: Asker,
    insights: Insights,
    me: Arc<str>,
}

/// A question, as one instance asks it another one.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    zone: String,
    view: View,
    kind: String,
    mesh: String,
    name: String,
    json: bool,
    include_eds: bool,
    used_only: bool,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum View {
    ConfigDump,
    Stats,
    Clusters,
}

impl From<ProxyView> for View {
    fn from(view: ProxyView) -> Self {
        match view {
            ProxyView::ConfigDump => Self::ConfigDump,
            ProxyView::Stats => Self::Stats,
            ProxyView::Clusters => Self::Clusters,
        }
    }
}

impl From<View> for ProxyView {
    fn from(view: View) -> Self {
        match view {
            View::ConfigDump => Self::ConfigDump,
            View::Stats => Self::Stats,
            View::Clusters => Self::Clusters,
        }
    }
}

impl Asked {
    fn new(zone: &ZoneName, question: &Question) -> Self {
        let Question { view, kind, mesh, name, json, include_eds, used_only } = question.clone();
        let (zone, view) = (zone.as_str().to_owned(), view.into());
        Self { zone, view, kind, mesh, name, json, include_eds, used_only }
    }

    fn question(self) -> Option<(ZoneName, Question)> {
        let Self { zone, view, kind, mesh, name, json, include_eds, used_only } = self;
        let zone = ZoneName::parse(&zone).ok()?;
        Some((zone, Question { view: view.into(), kind, mesh, name, json, include_eds, used_only }))
    }
}

/// The zone has no such stream at the instance that was asked.
const NOT_HERE: StatusCode = StatusCode::GONE;
/// The zone answered with an error.
const ZONE_SAYS: StatusCode = StatusCode::BAD_GATEWAY;
/// The zone did not answer.
const ZONE_LATE: StatusCode = StatusCode::GATEWAY_TIMEOUT;

impl Proxies {
    /// Where instances ask each other for them.
    pub(super) const PATH: &str = "/proxy";

    pub(super) fn new(asker: Asker, insights: Insights, me: &str) -> Self {
        Self { asker, insights, me: me.into() }
    }

    /// Answers another instance, by what is here.
    pub(super) async fn answer(&self, asked: &[u8]) -> Reply {
        let asked = serde_json::from_slice::<Asked>(asked).ok().and_then(Asked::question);
        let Some((zone, question)) = asked else {
            return Reply::new(StatusCode::BAD_REQUEST, "this is no question about a proxy");
        };
        match self.asker.ask(&zone, question).await {
            Ok(answer) => Reply::new(StatusCode::OK, answer),
            Err(error @ AskError::NotConnected { .. }) => Reply::new(NOT_HERE, error.to_string()),
            Err(AskError::Zone { text }) => Reply::new(ZONE_SAYS, text),
            Err(error @ AskError::Late) => Reply::new(ZONE_LATE, error.to_string()),
        }
    }

    /// The display name, with the namespace on Kubernetes (contract: kds 8.5).
    fn name_in_zone(&self, zone: &ZoneName, proxy: &Resource) -> String {
        let label = |key: &str| proxy.labels.get(key).map(String::as_str);
        let display = label(labels::DISPLAY_NAME).unwrap_or(&proxy.key.name).to_owned();
        let config: serde_json::Value =
            self.insights.last_config(zone).and_then(|config| serde_json::from_str(&config).ok()).unwrap_or_default();
        let kubernetes = config.pointer("/store/type").and_then(serde_json::Value::as_str) == Some("kubernetes");
        match label(labels::NAMESPACE) {
            Some(namespace) if kubernetes && !proxy.key.name.starts_with(zone.as_str()) => {
                format!("{display}.{namespace}")
            }
            _ => display,
        }
    }
}

/// Why there is no answer.
enum Failed {
    /// Of the zone, or because it is at none of the instances.
    Asking(AskError),
    /// Of the instance that it is at.
    Elsewhere(NotAnswered),
}

/// Asks proxies through the streams of their zones, wherever these are.
pub(super) struct ThroughZones {
    proxies: Proxies,
    /// The other instances, if there may be any.
    others: Option<Others>,
}

#[async_trait]
impl EnvoyAdmin for ThroughZones {
    async fn ask(&self, zone: &str, proxy: &Resource, request: AdminRequest) -> Result<Bytes, AdminError> {
        let view = request.view;
        let offline = || AdminError::ZoneOffline { operation: rpc::title(view) };
        let zone = ZoneName::parse(zone).map_err(|_no_zone| offline())?;
        if !self.proxies.insights.online(&zone) {
            return Err(offline());
        }
        let question = Question {
            view,
            kind: proxy.key.kind.name.to_owned(),
            mesh: proxy.key.mesh.clone(),
            name: self.proxies.name_in_zone(&zone, proxy),
            json: request.json,
            include_eds: request.with_endpoints,
            used_only: view == ProxyView::Stats,
        };
        let answered = tokio::time::timeout(DEADLINE, self.ask_holders(&zone, &question)).await;
        answered.unwrap_or(Err(Failed::Asking(AskError::Late))).map_err(|failed| match failed {
            Failed::Asking(AskError::NotConnected { .. }) => offline(),
            Failed::Asking(AskError::Zone { text }) => AdminError::Zone { request: rpc::request_type(view), text },
            Failed::Asking(AskError::Late) => AdminError::TimedOut,
            Failed::Elsewhere(why) => AdminError::Elsewhere { operation: rpc::title(view), reason: why.for_callers() },
        })
    }
}

impl ThroughZones {
    pub(super) fn new(proxies: Proxies, others: Option<Others>) -> Self {
        Self { proxies, others }
    }

    /// Asks one instance after the other that may hold the zone, until one does.
    async fn ask_holders(&self, zone: &ZoneName, question: &Question) -> Result<Bytes, Failed> {
        let Self { proxies, others } = self;
        let mut holders = proxies.insights.holders(zone, question.view);
        if !holders.iter().any(|holder| **holder == *proxies.me) {
            // A stream that opened a moment ago may not be told yet.
            holders.push((*proxies.me).to_owned());
        }
        let mut failed = Failed::Asking(AskError::NotConnected { zone: zone.clone() });
        for holder in holders {
            let answer = match others {
                _ if *holder == *proxies.me => proxies.asker.ask(zone, question.clone()).await.map_err(Failed::Asking),
                Some(others) => ask_there(others, &holder, zone, question).await,
                None => continue,
            };
            match answer {
                // Who is gone holds no zone any more.
                Err(Failed::Asking(AskError::NotConnected { .. }) | Failed::Elsewhere(NotAnswered::Gone { .. })) => {}
                Err(Failed::Elsewhere(why @ NotAnswered::Unreachable { .. })) => {
                    info!(zone = %zone, reason = %why, "cannot ask the instance that a zone is connected to");
                    failed = Failed::Elsewhere(why);
                }
                answered => return answered,
            }
        }
        Err(failed)
    }
}

async fn ask_there(others: &Others, instance: &str, zone: &ZoneName, question: &Question) -> Result<Bytes, Failed> {
    let asked = serde_json::to_vec(&Asked::new(zone, question)).unwrap_or_default();
    let asked = others.ask(instance, Proxies::PATH, asked.into(), FAR_DEADLINE).await;
    let Reply { status, body } = asked.map_err(Failed::Elsewhere)?;
    match status {
        StatusCode::OK => Ok(body),
        NOT_HERE => Err(Failed::Asking(AskError::NotConnected { zone: zone.clone() })),
        ZONE_SAYS => Err(Failed::Asking(AskError::Zone { text: String::from_utf8_lossy(&body).into_owned() })),
        ZONE_LATE => Err(Failed::Asking(AskError::Late)),
        // Of another version, perhaps.
        other => Err(Failed::Elsewhere(NotAnswered::Refused { instance: instance.to_owned(), status: other })),
    }
}

#[cfg(test)]
mod tests;
