//! Which path means what, and what it asks of callers: a table made once from the table of kinds. Longer than usual because
//! every endpoint has its row and its rule here.

use std::borrow::Cow;

use http::Method;
use model::{Kind, Scope};

use crate::access::{Rule, TokenKind};

/// What a path and a method ask for. Kinds come from the path; names are its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/`
    Index,
    /// `/config`
    Config,
    /// `/who-am-i`
    WhoAmI,
    /// `/policies`
    Policies,
    /// `/_resources`
    ResourceTypes,
    /// `/global-insight`
    GlobalInsight,
    /// `/global-insights`
    GlobalInsights,
    /// `/.well-known/jwks.json`
    Jwks,
    /// `/_kri/{kri}`
    Kri,
    /// `/tokens/…`
    Tokens(TokenKind),
    /// `/rotations`
    Rotations,
    /// `/rotations/{family}`
    Rotation,
    /// `/rotations/{family}/…`
    RotationStep(RotationStep),
    /// `/doctor`
    Doctor,
    /// `/tokens`
    IssuedTokens,
    /// The list of revocations.
    Revocations,
    /// Revoke tokens.
    Revoke,
    /// Take a revocation back.
    TakeBack,
    /// `/tokens/inspect`
    InspectToken,
    List(Kind),
    Get(Kind),
    /// Create or change one.
    Put(Kind),
    Delete(Kind),
    OverviewList(Kind),
    /// One resource with its insight.
    Overview(Kind),
    /// The proxies that a policy selects.
    Selected(Kind, SelectedShape),
    /// Host names of a service.
    Hostnames,
    /// The proxies behind a service.
    Behind(Kind),
    /// Something about one proxy.
    Proxy(ProxyPage),
}

/// A step of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RotationStep {
    Start,
    Advance,
    Rollback,
}

/// The two shapes of the list of selected proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SelectedShape {
    /// `…/_resources/dataplanes`
    Metas,
    /// `…/dataplanes`
    Legacy,
}

/// What one asks about a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyPage {
    /// `_rules`
    Rules,
    /// `_policies`, `_inbounds/…`, `_outbounds/…`
    Policies,
    /// `_layout`
    Layout,
    /// `_config`
    Config,
    /// `policies`
    Legacy,
    /// `xds`, `stats`, `clusters`, and whatever else is asked for in this place
    Admin,
}

impl Endpoint {
    /// What each endpoint asks of its callers: an endpoint without a rule does not compile.
    const fn rule(self) -> Rule {
        match self {
            Self::Index | Self::Jwks | Self::WhoAmI | Self::Policies | Self::ResourceTypes => Rule::Public,
            Self::Config => Rule::Metadata,
            Self::GlobalInsight | Self::GlobalInsights => Rule::ReadFiltered,
            Self::Kri | Self::Hostnames => Rule::ReadNamed,
            Self::Tokens(token) => Rule::Issue(token),
            // Who reads the secrets that sign may know what they signed.
            Self::Doctor | Self::IssuedTokens | Self::Revocations | Self::Rotations | Self::Rotation => {
                Rule::Read(Kind::GLOBAL_SECRET)
            }
            // Asked again for the secrets of the family that the body names.
            Self::Revoke | Self::TakeBack | Self::RotationStep(_) => Rule::Write(Kind::GLOBAL_SECRET),
            Self::InspectToken => Rule::Inspect,
            Self::List(kind)
            | Self::Get(kind)
            | Self::OverviewList(kind)
            | Self::Overview(kind)
            | Self::Selected(kind, _)
            | Self::Behind(kind) => Rule::Read(kind),
            Self::Put(kind) | Self::Delete(kind) => Rule::Write(kind),
            Self::Proxy(ProxyPage::Admin) => Rule::View,
            Self::Proxy(
                ProxyPage::Rules | ProxyPage::Policies | ProxyPage::Layout | ProxyPage::Config | ProxyPage::Legacy,
            ) => Rule::Read(Kind::DATAPLANE),
        }
    }

    /// Returns whether it is about who gets in: keys, tokens, zones, and this program itself.
    pub(crate) fn is_of_access(self) -> bool {
        let is_of_access = |kind| [Kind::GLOBAL_SECRET, Kind::ZONE, Kind::ZONE_INSIGHT].contains(&kind);
        match self {
            Self::Index
            | Self::Config
            | Self::WhoAmI
            | Self::Jwks
            | Self::Rotations
            | Self::Rotation
            | Self::RotationStep(_)
            | Self::Doctor
            | Self::IssuedTokens
            | Self::Revocations
            | Self::Revoke
            | Self::TakeBack
            | Self::InspectToken
            // What there is, for kumactl to choose from.
            | Self::Policies
            | Self::ResourceTypes => true,
            Self::Tokens(token) => !matches!(token, TokenKind::Dataplane),
            Self::List(kind)
            | Self::Get(kind)
            | Self::Put(kind)
            | Self::Delete(kind)
            | Self::OverviewList(kind)
            | Self::Overview(kind) => is_of_access(kind),
            Self::GlobalInsight
            | Self::GlobalInsights
            | Self::Kri
            | Self::Selected(..)
            | Self::Hostnames
            | Self::Behind(_)
            | Self::Proxy(_) => false,
        }
    }

    /// Returns whether the answer tells of many resources, so that making it costs.
    pub(crate) fn is_of_many(self) -> bool {
        match self {
            Self::List(_)
            | Self::OverviewList(_)
            | Self::Doctor
            | Self::IssuedTokens
            | Self::GlobalInsight
            | Self::GlobalInsights
            | Self::Selected(..)
            | Self::Behind(_) => true,
            // A mesh insight counts what is in its mesh.
            Self::Get(kind) => kind == Kind::MESH_INSIGHT,
            Self::Index
            | Self::Config
            | Self::WhoAmI
            | Self::Policies
            | Self::ResourceTypes
            | Self::Jwks
            | Self::Kri
            | Self::Tokens(_)
            | Self::Rotations
            | Self::Rotation
            | Self::RotationStep(_)
            | Self::Revocations
            | Self::Revoke
            | Self::TakeBack
            | Self::InspectToken
            | Self::Put(_)
            | Self::Delete(_)
            | Self::Overview(_)
            | Self::Hostnames
            | Self::Proxy(_) => false,
        }
    }
}

/// One row: a path with parameters, a method, and what they mean.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The path, as texts name it: `/meshes/{mesh}/meshtimeouts`.
    pub(crate) template: String,
    pub(crate) method: Method,
    pub(crate) endpoint: Endpoint,
    /// What callers must be allowed to do; judged before the body is read.
    pub(crate) rule: Rule,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug)]
enum Segment {
    Literal(String),
    Parameter(String),
}

impl Route {
    fn new(method: Method, template: impl Into<String>, endpoint: Endpoint) -> Self {
        let template = template.into();
        let segment = |text: &str| match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(name) => Segment::Parameter(name.to_owned()),
            None => Segment::Literal(text.to_owned()),
        };
        let segments = template.split('/').filter(|text| !text.is_empty()).map(segment).collect();
        Self { template, method, endpoint, rule: endpoint.rule(), segments }
    }

    fn matches(&self, path: &[Cow<'_, str>]) -> bool {
        self.segments.len() == path.len()
            && self.segments.iter().zip(path).all(|(segment, text)| match segment {
                Segment::Literal(literal) => literal == text,
                Segment::Parameter(_) => !text.is_empty(),
            })
    }

    /// Where the row has parameters; of two rows that match, the one with the literal that comes first wins.
    fn looseness(&self) -> Vec<bool> {
        self.segments.iter().map(|segment| matches!(segment, Segment::Parameter(_))).collect()
    }

    fn parameters(&self, path: &[Cow<'_, str>]) -> Vec<(String, String)> {
        let pair = |(segment, text): (&Segment, &Cow<'_, str>)| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(name) => Some((name.clone(), text.to_string())),
        };
        self.segments.iter().zip(path).filter_map(pair).collect()
    }
}

/// A row that matched, and what stood in the place of its parameters.
#[derive(Clone, Debug)]
pub(crate) struct Matched<'a> {
    pub(crate) route: &'a Route,
    parameters: Vec<(String, String)>,
}

impl Matched<'_> {
    /// The text in the place of a parameter; empty if the row has no such parameter.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The mesh of the path; empty outside of meshes.
    pub(crate) fn mesh(&self) -> &str {
        self.parameter("mesh")
    }

    pub(crate) fn name(&self) -> &str {
        self.parameter("name")
    }
}

/// Why there is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// No row has this path.
    Path,
    /// Rows with this path have these methods.
    Method(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Routes(Vec<Route>);

impl Routes {
    /// Makes the table.
    pub(crate) fn all() -> Self {
        let mut rows = fixed();
        for kind in Kind::all().filter(|kind| kind.in_rest) {
            for path in [kind.path, kind.other_path].into_iter().filter(|path| !path.is_empty()) {
                of_kind(kind, path, &mut rows);
            }
        }
        of_overviews(&mut rows);
        of_proxies(&mut rows);
        rows.sort_by_key(Route::looseness);
        Self(rows)
    }

    pub(crate) fn rows(&self) -> &[Route] {
        &self.0
    }

    /// Finds the row of a request.
    pub(crate) fn find(&self, method: &Method, path: &[Cow<'_, str>]) -> Result<Matched<'_>, NoRoute> {
        let candidates: Vec<&Route> = self.0.iter().filter(|route| route.matches(path)).collect();
        if candidates.is_empty() {
            return Err(NoRoute::Path);
        }
        if let Some(route) = candidates.iter().find(|route| route.method == *method) {
            return Ok(Matched { parameters: route.parameters(path), route });
        }
        let allowed = [Method::POST, Method::PUT, Method::DELETE, Method::GET].into_iter();
        let allowed = allowed.filter(|method| candidates.iter().any(|route| route.method == *method));
        Err(NoRoute::Method(allowed.map(|method| method.to_string()).collect::<Vec<_>>().join(", ")))
    }
}

/// Where the keys are that verify tokens.
pub(crate) const JWKS: &str = "/.well-known/jwks.json";

fn fixed() -> Vec<Route> {
    let get = |template: &str, endpoint| Route::new(Method::GET, template, endpoint);
    let rotate = |template: &str, step| Route::new(Method::POST, template, Endpoint::RotationStep(step));
    let token = |template: &str, kind| Route::new(Method::POST, template, Endpoint::Tokens(kind));
    vec![
        get("/", Endpoint::Index),
        get("/config", Endpoint::Config),
        get("/who-am-i", Endpoint::WhoAmI),
        get("/policies", Endpoint::Policies),
        get("/_resources", Endpoint::ResourceTypes),
        get("/global-insight", Endpoint::GlobalInsight),
        get("/global-insights", Endpoint::GlobalInsights),
        get(JWKS, Endpoint::Jwks),
        get("/_kri/{kri}", Endpoint::Kri),
        get("/doctor", Endpoint::Doctor),
        get("/tokens", Endpoint::IssuedTokens),
        Route::new(Method::POST, "/tokens/inspect", Endpoint::InspectToken),
        token("/tokens/dataplane", TokenKind::Dataplane),
        token("/tokens/zone", TokenKind::Zone),
        token("/tokens/control-plane", TokenKind::ControlPlane),
        token("/tokens/user", TokenKind::User),
        get("/rotations", Endpoint::Rotations),
        get("/rotations/{family}", Endpoint::Rotation),
        rotate("/rotations/{family}/start", RotationStep::Start),
        rotate("/rotations/{family}/advance", RotationStep::Advance),
        rotate("/rotations/{family}/rollback", RotationStep::Rollback),
        get("/tokens/revocations", Endpoint::Revocations),
        Route::new(Method::POST, "/tokens/revocations", Endpoint::Revoke),
        Route::new(Method::DELETE, "/tokens/revocations/{name}", Endpoint::TakeBack),
        get("/meshes/{mesh}/{plural}/{name}/_hostnames", Endpoint::Hostnames),
    ]
}

fn of_kind(kind: Kind, path: &str, rows: &mut Vec<Route>) {
    let (list, item) = match kind.scope {
        Scope::Global => (format!("/{path}"), format!("/{path}/{{name}}")),
        Scope::Mesh => {
            rows.push(Route::new(Method::GET, format!("/{path}"), Endpoint::List(kind)));
            (format!("/meshes/{{mesh}}/{path}"), format!("/meshes/{{mesh}}/{path}/{{name}}"))
        }
    };
    rows.push(Route::new(Method::GET, list, Endpoint::List(kind)));
    rows.push(Route::new(Method::GET, item.clone(), Endpoint::Get(kind)));
    rows.push(Route::new(Method::PUT, item.clone(), Endpoint::Put(kind)));
    rows.push(Route::new(Method::DELETE, item.clone(), Endpoint::Delete(kind)));
    if kind.policy.is_some() || kind.name == "MeshGateway" {
        let selected = |shape| Endpoint::Selected(kind, shape);
        let metas = format!("{item}/_resources/dataplanes");
        rows.push(Route::new(Method::GET, metas, selected(SelectedShape::Metas)));
        rows.push(Route::new(Method::GET, format!("{item}/dataplanes"), selected(SelectedShape::Legacy)));
    }
    if kind == Kind::MESH_SERVICE {
        rows.push(Route::new(Method::GET, format!("{item}/_dataplanes"), Endpoint::Behind(kind)));
    }
}

/// Lists with insights: kind, the folder, and the legacy path.
const OVERVIEWS: [(&str, &str, &str); 5] = [
    ("Zone", "/zones", "/zones+insights"),
    ("Dataplane", "/meshes/{mesh}/dataplanes", "/meshes/{mesh}/dataplanes+insights"),
    ("ZoneIngress", "/zoneingresses", "/zoneingresses+insights"),
    ("ZoneIngress", "/zone-ingresses", "/zone-ingresses+insights"),
    ("ZoneEgress", "/zoneegresses", "/zoneegressoverviews"),
];

fn of_overviews(rows: &mut Vec<Route>) {
    let mut get = |template: String, endpoint| rows.push(Route::new(Method::GET, template, endpoint));
    for (kind, folder, legacy) in OVERVIEWS {
        let Some(kind) = Kind::by_name(kind) else { continue };
        get(format!("{folder}/_overview"), Endpoint::OverviewList(kind));
        get(format!("{folder}/{{name}}/_overview"), Endpoint::Overview(kind));
        get(legacy.to_owned(), Endpoint::OverviewList(kind));
        get(format!("{legacy}/{{name}}"), Endpoint::Overview(kind));
    }
    get("/dataplanes/_overview".to_owned(), Endpoint::OverviewList(Kind::DATAPLANE));
    get("/dataplanes+insights".to_owned(), Endpoint::OverviewList(Kind::DATAPLANE));
}

fn of_proxies(rows: &mut Vec<Route>) {
    for (rest, view) in [
        ("_rules", ProxyPage::Rules),
        ("_policies", ProxyPage::Policies),
        ("_layout", ProxyPage::Layout),
        ("_config", ProxyPage::Config),
        ("policies", ProxyPage::Legacy),
        ("_inbounds/{kri}/_policies", ProxyPage::Policies),
        ("_outbounds/{kri}/_policies", ProxyPage::Policies),
        ("_outbounds/{kri}/_routes", ProxyPage::Policies),
        ("_outbounds/{kri}/_routes/{route}/_policies", ProxyPage::Policies),
        ("{operation}", ProxyPage::Admin),
    ] {
        let template = format!("/meshes/{{mesh}}/dataplanes/{{name}}/{rest}");
        rows.push(Route::new(Method::GET, template, Endpoint::Proxy(view)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::negotiate::segments;

    #[expect(clippy::needless_pass_by_value, reason = "cases read better without references")]
    fn check(method: Method, path: &str, expected: Result<Endpoint, NoRoute>) {
        let routes = Routes::all();
        let segments = segments(path).expect("segments");
        let found = routes.find(&method, &segments).map(|found| found.route.endpoint);
        assert_eq!(found, expected, "{method} {path}");
    }

    #[test]
    fn literal_segments_win_over_parameters() {
        check(Method::GET, "/zones/_overview", Ok(Endpoint::OverviewList(Kind::ZONE)));
        check(Method::PUT, "/zones/_overview", Ok(Endpoint::Put(Kind::ZONE)));
        check(Method::GET, "/zones/east", Ok(Endpoint::Get(Kind::ZONE)));
        check(Method::GET, "/meshes/default/dataplanes/d/_rules", Ok(Endpoint::Proxy(ProxyPage::Rules)));
        check(Method::GET, "/meshes/default/dataplanes/d/stats", Ok(Endpoint::Proxy(ProxyPage::Admin)));
        check(Method::GET, "/meshes/default/dataplanes/d/_overview", Ok(Endpoint::Overview(Kind::DATAPLANE)));
        check(Method::GET, "/meshes/default/dataplanes/_overview", Ok(Endpoint::OverviewList(Kind::DATAPLANE)));
    }

    #[test]
    fn both_paths_of_a_kind_lead_to_it() {
        check(Method::GET, "/global-secrets", Ok(Endpoint::List(Kind::GLOBAL_SECRET)));
        check(Method::GET, "/globalsecrets/", Ok(Endpoint::List(Kind::GLOBAL_SECRET)));
        check(Method::GET, "/secrets", Ok(Endpoint::List(Kind::SECRET)));
    }

    #[test]
    fn unknown_paths_and_methods_are_told_apart() {
        check(Method::GET, "/Meshes", Err(NoRoute::Path));
        check(Method::GET, "/configs", Err(NoRoute::Path));
        check(Method::GET, "/meshes/default/nope", Err(NoRoute::Path));
        check(Method::GET, "/tokens/user", Err(NoRoute::Method("POST".to_owned())));
        check(Method::HEAD, "/meshes/default", Err(NoRoute::Method("PUT, DELETE, GET".to_owned())));
        check(Method::POST, "/meshes", Err(NoRoute::Method("GET".to_owned())));
    }

    #[test]
    fn every_kind_has_its_routes() {
        let routes = Routes::all();
        for kind in Kind::all().filter(|kind| kind.in_rest) {
            for endpoint in [Endpoint::List(kind), Endpoint::Get(kind), Endpoint::Put(kind), Endpoint::Delete(kind)] {
                assert!(routes.rows().iter().any(|route| route.endpoint == endpoint), "{endpoint:?}");
            }
        }
    }
}
