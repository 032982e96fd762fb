//! The gateway before a global control plane: what a global of ours has for keys, tokens and zones, and the way to the real
//! one instead of streams of its own.

use tracing::warn;

use super::{
    global::{self, Front},
    running::Running,
    zone,
};
use crate::{
    clock::Clock,
    config::{Config, GlobalAddress},
    kds::{
        dial::{Dialer, Target},
        global::upstream::Upstream,
        link::Link,
    },
    observe::log::Log,
    tasks::Tasks,
};

pub(super) async fn start(config: Config, clock: Clock, log: Log, tasks: Tasks) -> anyhow::Result<Running> {
    let settings = &config.gateway;
    let root = settings.root_ca_file.as_deref();
    let mut dialers = Vec::new();
    for GlobalAddress { secure, host, port } in &settings.upstream {
        let trust = zone::trust(*secure, settings.tls_skip_verify, root, &clock, &tasks)?;
        let target = Target { host: host.clone(), port: *port };
        if !secure {
            warn!(target: "kds", global = %target, "the way to the global control plane behind this gateway is plain text");
        }
        dialers.push(Dialer::new(vec![(target, None)], trust, clock.clone()));
    }
    if settings.tls_skip_verify {
        warn!(
            target: "kds",
            "multizone.gateway.upstreamTlsSkipVerify is true: WHOEVER ANSWERS IS TAKEN FOR THE GLOBAL CONTROL PLANE and hears \
             what zones report; set multizone.gateway.upstreamRootCaFile instead"
        );
    }
    let link = Link::default();
    let upstream = Upstream::new(dialers, settings.forward_token, link.clone(), clock.clone());
    let front = Front {
        metrics_zone: "Gateway",
        has_meshes: false,
        upstream: Some((upstream, link)),
        elsewhere: Some(elsewhere(&settings.upstream).into()),
    };
    global::start(config, clock, log, tasks, None, front).await
}

/// Where what this API has not can be asked for.
fn elsewhere(upstream: &[GlobalAddress]) -> String {
    let hosts: Vec<_> = upstream.iter().map(|one| format!("`{}`", one.host)).collect();
    format!(
        "this is a gateway: it has keys, tokens and zones, and nothing else. Ask the API of the global control plane behind it, \
         on {} (usually port 5681 or 5682)",
        hosts.join(" or ")
    )
}
