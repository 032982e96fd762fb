//! Any stored insight: what happens to it afterwards keeps its rules.

use jiff::Timestamp;
use model::{Kind, ProxyView};
use prost::Message as _;
use serde_json::Value;
use testkit::{
    captures,
    fuzz::{Form, Inputs},
};
use wire::kuma::system::v1alpha1::{KumaCpVersion, ZoneInsight};

use super::record::{self, Instance, StreamName};

/// The insights that real globals showed at the end of each recording.
fn recorded() -> Vec<Vec<u8>> {
    let folders = captures::folder().and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten();
    let mut texts: Vec<String> = folders
        .filter_map(|folder| std::fs::read_to_string(folder.ok()?.path().join("zone-overview-end.json")).ok())
        .collect();
    texts.sort();
    let overviews = texts.iter().filter_map(|text| serde_json::from_str::<Value>(text).ok());
    let specs = overviews.filter_map(|overview| {
        model::proto::spec_from_json(Kind::ZONE_INSIGHT, overview["zoneInsight"].as_object()?).ok()
    });
    specs.map(|spec| spec.to_vec()).collect()
}

fn made() -> ZoneInsight {
    let mut insight = ZoneInsight::default();
    let at = Timestamp::UNIX_EPOCH;
    for id in ["a", "b"] {
        record::subscribe(&mut insight, id, "global-1", true, at);
        record::count(&mut insight, id, "Mesh", at, |stats| stats.responses_sent += 1);
    }
    record::stream_opened(&mut insight, StreamName::ZoneToGlobalSync, "global-1", at);
    insight
}

#[test]
fn any_stored_insight_can_be_carried_on() {
    let inputs = Inputs::new(Form::Message).recorded(recorded()).made([made().encode_to_vec()]);
    testkit::fuzz!(inputs.words(["Mesh", "new", "3.0.0", "preview"]).runs(4_000), |input| {
        let Ok(mut insight) = ZoneInsight::decode(input) else { return };
        let now = Timestamp::UNIX_EPOCH;
        let online = record::online(&insight);
        let ended = record::end_open_subscriptions(&mut insight, now, |_| true);
        assert!(ended || !online);
        assert!(!record::online(&insight), "nobody is connected after a restart");
        let known = insight.subscriptions.len();
        record::subscribe(&mut insight, "new", "global-1", true, now);
        assert!(record::online(&insight));
        assert_eq!(insight.subscriptions.len(), known + 1);
        for (limit, compact) in [(10, false), (3, true), (0, true)] {
            record::keep_last(&mut insight, limit, compact);
            assert!(insight.subscriptions.len() <= limit.max(1));
            assert_eq!(insight.subscriptions.last().map(|last| last.id.as_str()), Some("new"));
        }
        let version = KumaCpVersion { version: String::from_utf8_lossy(input).into_owned(), ..Default::default() };
        record::described(&mut insight, "new", &Instance { version, ..Instance::default() });
        record::count(&mut insight, "new", "Mesh", now, |stats| stats.responses_sent += 1);
        for stream in ProxyView::ALL.map(StreamName::Admin).into_iter().chain([StreamName::GlobalToZoneSync]) {
            record::stream_opened(&mut insight, stream, "global-1", now);
        }
        record::pinged(&mut insight, now, None);
        record::unsubscribe(&mut insight, "new", now);
        assert!(!record::online(&insight));
        record::reopen(&mut insight, "new");
        let spec = insight.encode_to_vec();
        assert_eq!(ZoneInsight::decode(spec.as_slice()), Ok(insight));
        // Times that no calendar has are shown as nothing, as any spec that cannot be shown.
        let _shown = model::proto::spec_to_json(Kind::ZONE_INSIGHT, &spec);
    });
}
