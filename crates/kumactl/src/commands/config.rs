//! `kumactl config`: shows and changes the settings file.

use std::collections::BTreeMap;

use crate::{
    about,
    cli::verbs::Add,
    client::{self, Ask, CallError, Method},
    csv::Pairs,
    failure::Failure,
    files,
    output::table::Table,
    session::{Session, index_of},
    settings::{ApiServer, Header, Settings},
};

/// Prints the settings.
pub(super) fn view(session: &Session<'_>) -> Result<(), Failure> {
    session.printer().line(&session.settings.text())
}

/// Prints the control planes.
pub(super) fn list(session: &Session<'_>) -> Result<(), Failure> {
    let active = session.settings.active(None).map(|active| active.name.clone()).unwrap_or_default();
    let mut table = Table::new(&["ACTIVE", "NAME", "ADDRESS"]);
    for known in &session.settings.control_planes {
        let mark = if known.name == active { "*" } else { "" };
        table.add(vec![mark.to_owned(), known.name.clone(), known.coordinates.api_server.url.clone()]);
    }
    session.printer().data(&table.text())
}

/// Adds a control plane and makes it active.
pub(super) fn add(session: &Session<'_>, flags: &Add) -> Result<(), Failure> {
    let name = &flags.named.name;
    let server = server(session, flags)?;
    if flags.skip_check {
        session.warn_of_plaintext(&server);
    } else {
        check(session, &server)?;
    }
    let mut settings = session.settings.clone();
    if settings.find(name).is_some() && !flags.overwrite {
        return Err(Failure::Refused(format!(
            "Control Plane with name {name:?} already exists. Use --overwrite to replace an existing one."
        )));
    }
    settings.put(name, server);
    session.keep(&settings)?;
    session.printer().data(&format!("added Control Plane {name:?}\nswitched active Control Plane to {name:?}\n"))
}

/// Makes a control plane active.
pub(super) fn switch(session: &Session<'_>, name: &str) -> Result<(), Failure> {
    let mut settings = session.settings.clone();
    if !settings.switch(name) {
        return Err(unknown(name));
    }
    session.keep(&settings)?;
    session.printer().line(&format!("switched active Control Plane to {name:?}"))
}

/// Removes a control plane and says which one is active now.
pub(super) fn remove(session: &Session<'_>, name: &str) -> Result<(), Failure> {
    let mut settings = session.settings.clone();
    if !settings.remove(name) {
        return Err(unknown(name));
    }
    session.keep(&settings)?;
    session.printer().data(&format!("removed Control Plane {name:?}\n{}\n", now_active(&settings)))
}

fn now_active(settings: &Settings) -> String {
    match settings.active(None) {
        Ok(active) => format!("switched active Control Plane to {:?}", active.name),
        Err(_) => "there is no active Control Plane left. Use `kumactl config control-planes add` to add a Control \
                   Plane and make it active"
            .to_owned(),
    }
}

fn unknown(name: &str) -> Failure {
    Failure::Refused(format!("there is no Control Plane with name {name:?}"))
}

/// Reads the flags of `add`, in the order in which faults are told.
fn server(session: &Session<'_>, flags: &Add) -> Result<ApiServer, Failure> {
    client::parse_address(&flags.address).map_err(|problem| Failure::Refused(problem.to_string()))?;
    let (certificate, key) = (&flags.client_cert_file, &flags.client_key_file);
    if certificate.is_empty() != key.is_empty() {
        return Err(Failure::refused("Both --client-cert-file and --client-key-file needs to be specified"));
    }
    let auth_conf: BTreeMap<String, String> = Pairs::joined(&flags.auth_conf).into_iter().collect();
    match flags.auth_type.as_str() {
        "" => {}
        "tokens" => {
            if auth_conf.get("token").is_none_or(String::is_empty) {
                return Err(Failure::refused("--auth-conf is not valid: provide token=YOUR_TOKEN"));
            }
        }
        other => {
            return Err(Failure::Refused(format!("authentication plugin of type {other:?} is not found")));
        }
    }
    let headers: BTreeMap<String, String> = Pairs::joined(&flags.headers).into_iter().collect();
    Ok(ApiServer {
        allow_plaintext_token: session.allows_plaintext(),
        auth_conf,
        auth_type: flags.auth_type.clone(),
        ca_cert_file: absolute(&flags.ca_cert_file)?,
        client_cert_file: absolute(certificate)?,
        client_key_file: absolute(key)?,
        headers: headers.into_iter().map(|(key, value)| Header { key, value }).collect(),
        skip_verify: flags.skip_verify,
        url: flags.address.clone(),
    })
}

/// Returns the path from the root on: the next call may come from another folder.
fn absolute(path: &str) -> Result<String, Failure> {
    if path.is_empty() {
        return Ok(String::new());
    }
    let whole = std::path::absolute(path)
        .map_err(|error| Failure::Refused(format!("could not find {path:?}: {}", files::reason(&error))))?;
    whole.into_os_string().into_string().map_err(|whole| {
        Failure::Refused(format!("{} cannot be kept in the settings: it is not UTF-8", whole.display()))
    })
}

/// Asks the server who it is, and whether it takes the token. The first question goes without the token, so that a
/// wrong address does not learn it.
fn check(session: &Session<'_>, server: &ApiServer) -> Result<(), Failure> {
    let failed = |error: CallError| error.within("could not connect to the Control Plane API Server");
    let caller = session.client_of(server)?;
    let stranger = ApiServer { auth_type: String::new(), auth_conf: BTreeMap::new(), ..server.clone() };
    let index = index_of(&session.connect(&stranger)?).map_err(failed)?;
    let text = |name: &str| index.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let (product, version) = (text("product"), text("version"));
    let is_ours = [about::PRODUCT, about::SPOKEN_PRODUCT].contains(&product)
        || text("implementation") == about::PRODUCT
        || !text("basedOnKuma").is_empty();
    if !is_ours && !version.contains("preview") {
        return Err(Failure::Refused(format!(
            "this CLI is for {} but the control plane you're connected to is {product}. Please use the CLI for your \
             control plane",
            about::SPOKEN_PRODUCT
        )));
    }
    if server.token().is_none() {
        return Ok(());
    }
    let answer = caller.ask(Ask::other(Method::Get, "/who-am-i")).map_err(failed)?;
    // Only this status speaks about the token; old servers do not know the route.
    if answer.status == 401 { answer.accept(&[200]).map(drop).map_err(failed) } else { Ok(()) }
}
