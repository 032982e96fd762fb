//! The table of kinds (contract: kds 6.1 and 11.4, rest-and-cli 3). Adding a kind is adding a row.

use crate::{
    flow::Flow,
    kind::{Policy, Row, Scope, SpecForm, Writable},
};

impl Row {
    const fn new(name: &'static str, path: &'static str, scope: Scope, flow: Flow) -> Self {
        Self {
            name,
            path,
            other_path: "",
            scope,
            short: "",
            singular: &[],
            plural: &[],
            display: "",
            display_plural: "",
            flow,
            hashed: true,
            spec: SpecForm::Json,
            empty_status: None,
            policy: None,
            admin_only: false,
            writable: Writable::ByFlow,
            only_in_2x: false,
            in_rest: true,
        }
    }

    const fn short(mut self, short: &'static str) -> Self {
        self.short = short;
        self
    }

    const fn display(mut self, one: &'static str, many: &'static str) -> Self {
        self.display = one;
        self.display_plural = many;
        self
    }

    const fn cli(mut self, singular: &'static [&'static str], plural: &'static [&'static str]) -> Self {
        self.singular = singular;
        self.plural = plural;
        self
    }

    const fn other_path(mut self, path: &'static str) -> Self {
        self.other_path = path;
        self
    }

    const fn protobuf(mut self, message: &'static str) -> Self {
        self.spec = SpecForm::Proto(message);
        self
    }

    const fn plain_name(mut self) -> Self {
        self.hashed = false;
        self
    }

    const fn status(mut self, empty: &'static str) -> Self {
        self.empty_status = Some(empty);
        self
    }

    const fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    const fn admin_only(mut self) -> Self {
        self.admin_only = true;
        self
    }

    const fn read_only(mut self) -> Self {
        self.writable = Writable::Never;
        self
    }

    const fn only_in_2x(mut self) -> Self {
        self.only_in_2x = true;
        self
    }

    const fn not_in_rest(mut self) -> Self {
        self.in_rest = false;
        self
    }
}

/// All kinds, by name. One place in memory, for kinds are compared by their place in it.
pub(crate) static TABLE: [Row; 55] = [
    Row::new("CircuitBreaker", "circuit-breakers", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("Circuit Breaker", "Circuit Breakers")
        .cli(&["circuit-breaker"], &["circuit-breakers"])
        .protobuf("kuma.mesh.v1alpha1.CircuitBreaker")
        .policy(Policy::BY_SOURCE)
        .only_in_2x(),
    Row::new("Config", "", Scope::Global, Flow::GLOBAL_TO_ZONE_OR_OWN)
        .display("Config", "Configs")
        .protobuf("kuma.system.v1alpha1.Config")
        .plain_name()
        .read_only()
        .not_in_rest(),
    Row::new("Dataplane", "dataplanes", Scope::Mesh, Flow::ZONE_TO_GLOBAL)
        .short("dp")
        .display("Dataplane", "Dataplanes")
        .cli(&["dataplane"], &["dataplanes"])
        .protobuf("kuma.mesh.v1alpha1.Dataplane"),
    Row::new("DataplaneInsight", "dataplane-insights", Scope::Mesh, Flow::ZONE_TO_GLOBAL)
        .display("Dataplane Insight", "Dataplane Insights")
        .protobuf("kuma.mesh.v1alpha1.DataplaneInsight")
        .read_only(),
    Row::new("ExternalService", "external-services", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("External Service", "External Services")
        .cli(&["external-service"], &["external-services"])
        .protobuf("kuma.mesh.v1alpha1.ExternalService")
        .only_in_2x(),
    Row::new("FaultInjection", "fault-injections", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("Fault Injection", "Fault Injections")
        .cli(&["fault-injection"], &["fault-injections"])
        .protobuf("kuma.mesh.v1alpha1.FaultInjection")
        .policy(Policy::BY_SOURCE)
        .only_in_2x(),
    Row::new("GlobalSecret", "globalsecrets", Scope::Global, Flow::GLOBAL_TO_ZONE_OR_OWN)
        .display("Global Secret", "Global Secrets")
        .cli(&["globalsecret", "global-secret"], &["globalsecrets", "global-secrets"])
        .other_path("global-secrets")
        .protobuf("kuma.system.v1alpha1.Secret")
        .plain_name()
        .admin_only(),
    Row::new("HealthCheck", "health-checks", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("Health Check", "Health Checks")
        .cli(&["healthcheck"], &["healthchecks"])
        .protobuf("kuma.mesh.v1alpha1.HealthCheck")
        .policy(Policy::BY_SOURCE)
        .only_in_2x(),
    Row::new("HostnameGenerator", "hostnamegenerators", Scope::Global, Flow::BOTH_WAYS)
        .short("hg")
        .display("Hostname Generator", "Hostname Generators")
        .cli(&["hostnamegenerator"], &["hostnamegenerators"]),
    Row::new("Mesh", "meshes", Scope::Global, Flow::GLOBAL_TO_ZONE)
        .short("m")
        .display("Mesh", "Meshes")
        .cli(&["mesh"], &["meshes"])
        .protobuf("kuma.mesh.v1alpha1.Mesh")
        .plain_name(),
    Row::new("MeshAccessLog", "meshaccesslogs", Scope::Mesh, Flow::EVERY_WAY)
        .short("mal")
        .display("Mesh Access Log", "Mesh Access Logs")
        .cli(&["meshaccesslog"], &["meshaccesslogs"])
        .status("{}")
        .policy(Policy::TO_RULES_FROM),
    Row::new("MeshCircuitBreaker", "meshcircuitbreakers", Scope::Mesh, Flow::EVERY_WAY)
        .short("mcb")
        .display("Mesh Circuit Breaker", "Mesh Circuit Breakers")
        .cli(&["meshcircuitbreaker"], &["meshcircuitbreakers"])
        .policy(Policy::TO_RULES_FROM),
    Row::new("MeshExternalService", "meshexternalservices", Scope::Mesh, Flow::BOTH_WAYS)
        .short("extsvc")
        .display("Mesh External Service", "Mesh External Services")
        .cli(&["meshexternalservice"], &["meshexternalservices"])
        .status(r#"{"vip":{}}"#),
    Row::new("MeshFaultInjection", "meshfaultinjections", Scope::Mesh, Flow::EVERY_WAY)
        .short("mfi")
        .display("Mesh Fault Injection", "Mesh Fault Injections")
        .cli(&["meshfaultinjection"], &["meshfaultinjections"])
        .policy(Policy::TO_RULES_FROM),
    Row::new("MeshGateway", "meshgateways", Scope::Mesh, Flow::BOTH_WAYS)
        .short("mgw")
        .display("Mesh Gateway", "Mesh Gateways")
        .cli(&["meshgateway"], &["meshgateways"])
        .protobuf("kuma.mesh.v1alpha1.MeshGateway")
        .only_in_2x(),
    Row::new("MeshGatewayRoute", "meshgatewayroutes", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("Mesh Gateway Route", "Mesh Gateway Routes")
        .cli(&["meshgatewayroute"], &["meshgatewayroutes"])
        .protobuf("kuma.mesh.v1alpha1.MeshGatewayRoute")
        .policy(Policy::BY_SOURCE)
        .only_in_2x(),
    Row::new("MeshHTTPRoute", "meshhttproutes", Scope::Mesh, Flow::EVERY_WAY)
        .short("mhttpr")
        .display("Mesh HTTP Route", "Mesh HTTP Routes")
        .cli(&["meshhttproute"], &["meshhttproutes"])
        .policy(Policy::TO),
    Row::new("MeshHealthCheck", "meshhealthchecks", Scope::Mesh, Flow::EVERY_WAY)
        .short("mhc")
        .display("Mesh Health Check", "Mesh Health Checks")
        .cli(&["meshhealthcheck"], &["meshhealthchecks"])
        .policy(Policy::TO),
    Row::new("MeshIdentity", "meshidentities", Scope::Mesh, Flow::BOTH_WAYS)
        .short("mid")
        .display("Mesh Identity", "Mesh Identities")
        .cli(&["meshidentity"], &["meshidentities"])
        .status("{}"),
    Row::new("MeshInsight", "mesh-insights", Scope::Global, Flow::AT_GLOBAL)
        .display("Mesh Insight", "Mesh Insights")
        .protobuf("kuma.mesh.v1alpha1.MeshInsight")
        .read_only(),
    Row::new("MeshLoadBalancingStrategy", "meshloadbalancingstrategies", Scope::Mesh, Flow::EVERY_WAY)
        .short("mlbs")
        .display("Mesh Load Balancing Strategy", "Mesh Load Balancing Strategies")
        .cli(&["meshloadbalancingstrategy"], &["meshloadbalancingstrategies"])
        .policy(Policy::TO),
    Row::new("MeshMetric", "meshmetrics", Scope::Mesh, Flow::EVERY_WAY)
        .short("mm")
        .display("Mesh Metric", "Mesh Metrics")
        .cli(&["meshmetric"], &["meshmetrics"])
        .status("{}")
        .policy(Policy::PROXIES),
    Row::new("MeshMultiZoneService", "meshmultizoneservices", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .short("mzsvc")
        .display("Mesh Multi Zone Service", "Mesh Multi Zone Services")
        .cli(&["meshmultizoneservice"], &["meshmultizoneservices"])
        .status("{}"),
    Row::new("MeshOpenTelemetryBackend", "meshopentelemetrybackends", Scope::Mesh, Flow::BOTH_WAYS)
        .short("motb")
        .display("Mesh OpenTelemetry Backend", "Mesh OpenTelemetry Backends")
        .cli(&["meshopentelemetrybackend"], &["meshopentelemetrybackends"])
        .status("{}"),
    Row::new("MeshPassthrough", "meshpassthroughs", Scope::Mesh, Flow::EVERY_WAY)
        .short("mp")
        .display("Mesh Passthrough", "Mesh Passthroughs")
        .cli(&["meshpassthrough"], &["meshpassthroughs"])
        .policy(Policy::PROXIES),
    Row::new("MeshProxyPatch", "meshproxypatches", Scope::Mesh, Flow::EVERY_WAY)
        .short("mpp")
        .display("Mesh Proxy Patch", "Mesh Proxy Patches")
        .cli(&["meshproxypatch"], &["meshproxypatches"])
        .policy(Policy::PROXIES),
    Row::new("MeshRateLimit", "meshratelimits", Scope::Mesh, Flow::EVERY_WAY)
        .short("mrl")
        .display("Mesh Rate Limit", "Mesh Rate Limits")
        .cli(&["meshratelimit"], &["meshratelimits"])
        .policy(Policy::TO_RULES_FROM),
    Row::new("MeshRetry", "meshretries", Scope::Mesh, Flow::EVERY_WAY)
        .short("mr")
        .display("Mesh Retry", "Mesh Retries")
        .cli(&["meshretry"], &["meshretries"])
        .policy(Policy::TO),
    Row::new("MeshService", "meshservices", Scope::Mesh, Flow::ZONE_TO_ZONES)
        .short("msvc")
        .display("Mesh Service", "Mesh Services")
        .cli(&["meshservice"], &["meshservices"])
        .status(r#"{"tls":{},"dataplaneProxies":{}}"#),
    Row::new("MeshTCPRoute", "meshtcproutes", Scope::Mesh, Flow::EVERY_WAY)
        .short("mtcpr")
        .display("Mesh TCP Route", "Mesh TCP Routes")
        .cli(&["meshtcproute"], &["meshtcproutes"])
        .policy(Policy::TO),
    Row::new("MeshTLS", "meshtlses", Scope::Mesh, Flow::EVERY_WAY)
        .short("mtls")
        .display("Mesh TLS", "Mesh TLSes")
        .cli(&["meshtls"], &["meshtlses"])
        .policy(Policy::RULES_FROM),
    Row::new("MeshTimeout", "meshtimeouts", Scope::Mesh, Flow::EVERY_WAY)
        .short("mt")
        .display("Mesh Timeout", "Mesh Timeouts")
        .cli(&["meshtimeout"], &["meshtimeouts"])
        .policy(Policy::TO_RULES_FROM),
    Row::new("MeshTrace", "meshtraces", Scope::Mesh, Flow::EVERY_WAY)
        .short("mtr")
        .display("Mesh Trace", "Mesh Traces")
        .cli(&["meshtrace"], &["meshtraces"])
        .status("{}")
        .policy(Policy::PROXIES),
    Row::new("MeshTrafficPermission", "meshtrafficpermissions", Scope::Mesh, Flow::EVERY_WAY)
        .short("mtp")
        .display("Mesh Traffic Permission", "Mesh Traffic Permissions")
        .cli(&["meshtrafficpermission"], &["meshtrafficpermissions"])
        .policy(Policy::RULES_FROM),
    Row::new("MeshTrust", "meshtrusts", Scope::Mesh, Flow::BOTH_WAYS)
        .short("mtrust")
        .display("Mesh Trust", "Mesh Trusts")
        .cli(&["meshtrust"], &["meshtrusts"])
        .status("{}"),
    Row::new("MeshZoneAddress", "meshzoneaddresses", Scope::Mesh, Flow::ZONE_TO_ZONES)
        .short("mza")
        .display("Mesh Zone Address", "Mesh Zone Addresses")
        .cli(&["meshzoneaddress"], &["meshzoneaddresses"]),
    Row::new("ProxyTemplate", "proxytemplates", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("Proxy Template", "Proxy Templates")
        .cli(&["proxytemplate"], &["proxytemplates"])
        .protobuf("kuma.mesh.v1alpha1.ProxyTemplate")
        .policy(Policy::BY_SOURCE)
        .only_in_2x(),
    Row::new("RateLimit", "rate-limits", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("Rate Limit", "Rate Limits")
        .cli(&["rate-limit"], &["rate-limits"])
        .protobuf("kuma.mesh.v1alpha1.RateLimit")
        .policy(Policy::BY_SOURCE)
        .only_in_2x(),
    Row::new("Record", "", Scope::Global, Flow::KEPT_BY_EACH)
        .display("Record", "Records")
        .plain_name()
        .admin_only()
        .read_only()
        .not_in_rest(),
    Row::new("Retry", "retries", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("Retry", "Retries")
        .cli(&["retry"], &["retries"])
        .protobuf("kuma.mesh.v1alpha1.Retry")
        .policy(Policy::BY_SOURCE)
        .only_in_2x(),
    Row::new("Secret", "secrets", Scope::Mesh, Flow::GLOBAL_TO_ZONE_OR_OWN)
        .display("Secret", "Secrets")
        .cli(&["secret"], &["secrets"])
        .protobuf("kuma.system.v1alpha1.Secret")
        .plain_name()
        .admin_only(),
    Row::new("ServiceInsight", "service-insights", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("Service Insight", "Service Insights")
        .protobuf("kuma.mesh.v1alpha1.ServiceInsight")
        .read_only(),
    Row::new("Timeout", "timeouts", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("Timeout", "Timeouts")
        .cli(&["timeout"], &["timeouts"])
        .protobuf("kuma.mesh.v1alpha1.Timeout")
        .policy(Policy::BY_SOURCE)
        .only_in_2x(),
    Row::new("TrafficLog", "traffic-logs", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("Traffic Log", "Traffic Logs")
        .cli(&["traffic-log"], &["traffic-logs"])
        .protobuf("kuma.mesh.v1alpha1.TrafficLog")
        .policy(Policy::BY_SOURCE)
        .only_in_2x(),
    Row::new("TrafficPermission", "traffic-permissions", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("Traffic Permission", "Traffic Permissions")
        .cli(&["traffic-permission"], &["traffic-permissions"])
        .protobuf("kuma.mesh.v1alpha1.TrafficPermission")
        .policy(Policy::BY_SOURCE)
        .only_in_2x(),
    Row::new("TrafficRoute", "traffic-routes", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("Traffic Route", "Traffic Routes")
        .cli(&["traffic-route"], &["traffic-routes"])
        .protobuf("kuma.mesh.v1alpha1.TrafficRoute")
        .policy(Policy::BY_SOURCE)
        .only_in_2x(),
    Row::new("TrafficTrace", "traffic-traces", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("Traffic Trace", "Traffic Traces")
        .cli(&["traffic-trace"], &["traffic-traces"])
        .protobuf("kuma.mesh.v1alpha1.TrafficTrace")
        .policy(Policy::BY_SOURCE)
        .only_in_2x(),
    Row::new("VirtualOutbound", "virtual-outbounds", Scope::Mesh, Flow::GLOBAL_TO_ZONE)
        .display("Virtual Outbound", "Virtual Outbounds")
        .cli(&["virtual-outbound"], &["virtual-outbounds"])
        .protobuf("kuma.mesh.v1alpha1.VirtualOutbound")
        .policy(Policy::BY_SOURCE)
        .only_in_2x(),
    Row::new("Workload", "workloads", Scope::Mesh, Flow::ZONE_TO_GLOBAL)
        .short("wl")
        .display("Workload", "Workloads")
        .cli(&["workload"], &["workloads"])
        .status("{}"),
    Row::new("Zone", "zones", Scope::Global, Flow::KEPT_BY_EACH)
        .short("z")
        .display("Zone", "Zones")
        .cli(&["zone"], &["zones"])
        .protobuf("kuma.system.v1alpha1.Zone"),
    Row::new("ZoneEgress", "zoneegresses", Scope::Global, Flow::ZONE_TO_GLOBAL)
        .short("ze")
        .display("Zone Egress", "Zone Egresses")
        .cli(&["zoneegress"], &["zoneegresses"])
        .protobuf("kuma.mesh.v1alpha1.ZoneEgress")
        .only_in_2x(),
    Row::new("ZoneEgressInsight", "zoneegressinsights", Scope::Global, Flow::ZONE_TO_GLOBAL)
        .display("Zone Egress Insight", "Zone Egress Insights")
        .protobuf("kuma.mesh.v1alpha1.ZoneEgressInsight")
        .read_only()
        .only_in_2x(),
    Row::new("ZoneIngress", "zoneingresses", Scope::Global, Flow::ZONE_TO_ZONES)
        .short("zi")
        .display("Zone Ingress", "Zone Ingresses")
        .cli(&["zoneingress", "zone-ingress"], &["zoneingresses", "zone-ingresses"])
        .other_path("zone-ingresses")
        .protobuf("kuma.mesh.v1alpha1.ZoneIngress")
        .only_in_2x(),
    Row::new("ZoneIngressInsight", "zone-ingress-insights", Scope::Global, Flow::ZONE_TO_GLOBAL)
        .display("Zone Ingress Insight", "Zone Ingress Insights")
        .protobuf("kuma.mesh.v1alpha1.ZoneIngressInsight")
        .read_only()
        .only_in_2x(),
    Row::new("ZoneInsight", "zone-insights", Scope::Global, Flow::KEPT_BY_EACH)
        .display("Zone Insight", "Zone Insights")
        .protobuf("kuma.system.v1alpha1.ZoneInsight")
        .read_only(),
];
