//! The tree of commands with their flags (contract: rest-and-cli 4). Longer than most files because it is one table.

use clap::{Arg, ArgAction, Command};
use model::{Kind, duration};

use super::flags::ARGUMENTS;
use crate::csv;

/// The scopes of zone tokens.
pub(crate) const ZONE_SCOPES: [&str; 3] = ["cp", "ingress", "egress"];

/// Returns the whole tree.
pub(crate) fn root() -> Command {
    group("kumactl", "Management tool for a multi-zone control plane.")
        .arg(text("config-file", "path to the configuration file to use").global(true))
        .arg(text("context", "control plane of the configuration to use for this call").global(true))
        .arg(defaulted(text("log-level", "log level: one of off|info|debug"), "off").global(true))
        .arg(
            switch(
                "allow-plaintext-token",
                "send the token and the headers of the settings to another machine without TLS (insecure); given to \
                 `config control-planes add`, it is kept",
            )
            .global(true),
        )
        .arg(switch("no-config", "if set no config file and config directory will be created").global(true))
        .arg(
            defaulted(
                span(
                    "api-timeout",
                    "the timeout for api calls, connection time and reading the answer included; \
                 0 means no timeout",
                ),
                "1m0s",
            )
            .global(true),
        )
        .arg(help().global(true))
        .subcommands([
            apply(),
            completion(),
            config(),
            leaf("delete", "Delete a resource, or those of files.", &["TYPE", "NAME"])
                .after_help("  $ kumactl delete mesh demo\n  $ kumactl delete -f resource.yaml")
                .arg(files("Path to file whose resources are to be deleted, the last one first; TYPE and NAME are left out then. Pass `-` to read from stdin. May stand several times"))
                .arg(mesh()),
            export(),
            generate(),
            get(),
            Command::new("help").about("Help about any command"),
            inspect(),
            leaf("version", "Print version.", &[]).arg(switch("detailed", "Print detailed version").short('a')),
        ])
}

fn apply() -> Command {
    leaf("apply", "Create or modify resources.", &[])
        .after_help("  $ kumactl apply -f resource.yaml\n  $ cat resource.yaml | kumactl apply -f -\n  $ kumactl apply --var key=$(kumactl generate signing-key) -f secret.yaml")
        .arg(files("Path to file to apply. Pass `-` to read from stdin. May stand several times: all are applied, in this order").required(true))
        .arg(pairs(
            "var",
            "Variable to replace in configuration. {{x}} is escaped for HTML, {{{x}}} is not; a value that would be more than one value of the YAML around it is quoted or refused",
        ).short('v'))
        .arg(switch("dry-run", "Resolve variables and prints result out without actual applying"))
}

fn completion() -> Command {
    group("completion", "Output shell completion code for bash, fish or zsh.").subcommands(
        ["bash", "fish", "zsh"].map(|shell| leaf(shell, format!("Output shell completion code for {shell}."), &[])),
    )
}

fn config() -> Command {
    let name = || text("name", "reference name for the Control Plane (required)").required(true);
    let add = leaf("add", "Add a Control Plane.", &[])
        .arg(name())
        .arg(text("address", "URL of the Control Plane API Server (required). Example: http://localhost:5681 or https://localhost:5682").required(true))
        .arg(switch("overwrite", "overwrite existing Control Plane with the same reference name"))
        .arg(text("client-cert-file", "path to the certificate of a client that is authorized to use the API of the Control Plane"))
        .arg(text("client-key-file", "path to the certificate key of a client that is authorized to use the API of the Control Plane"))
        .arg(text("ca-cert-file", "path to the certificate authority which will be used to verify the Control Plane certificate"))
        .arg(switch("skip-verify", "skip the verification of the certificate of the Control Plane (insecure)"))
        .arg(pairs("headers", "add these headers while communicating to the Control Plane, format key=value"))
        .arg(text("auth-type", "authentication type (\"tokens\")"))
        .arg(pairs("auth-conf", "authentication config for the defined authentication type, format key=value"))
        .arg(switch("skip-check", "skip the check of the connection and of the token"));
    group("config", "Manage kumactl config.").subcommands([
        group("control-planes", "Manage known Control Planes.").subcommands([
            add,
            leaf("list", "List Control Planes.", &[]),
            leaf("remove", "Remove a Control Plane.", &[]).arg(name()),
            leaf("switch", "Switch active Control Plane.", &[]).arg(name()),
        ]),
        leaf("view", "Show kumactl config.", &[]),
    ])
}

fn export() -> Command {
    leaf("export", "Export all resources of the control plane.", &[])
        .arg(defaulted(
            text("profile", "Profile of the exported data: federation, federation-with-policies, all or no-dataplanes")
                .short('p'),
            "federation",
        ))
        .arg(defaulted(text("format", "Format of the exported data: universal or kubernetes").short('f'), "universal"))
        .arg(defaulted(
            text("system-namespace", "Namespace of the system resources in the format kubernetes").short('n'),
            "kuma-system",
        ))
        .arg(switch("include-admin", "Include resources that only admins may read").short('a'))
}

fn generate() -> Command {
    let valid_for = || span("valid-for", "how long the token will be valid (for example \"24h\")");
    let signing_key = |command: Command| {
        command
            .arg(text(
                "signing-key-path",
                "path to a file with a PEM-encoded signing key; the token is signed here, without the control plane",
            ))
            .arg(text("kid", "ID of the key of --signing-key-path"))
    };
    let zone = || text("zone", "name of the zone the token is for").required(true);
    let scope = format!("what the token is good for: any of {}", ZONE_SCOPES.join(", "));
    let control_plane_token =
        leaf("control-plane-token", "Generate a token that a zone control plane shows to the global one.", &[])
            .arg(zone())
            .arg(span(
                "valid-for",
                "how long the token will be valid (for example \"24h\"); without it, until its signing key is deleted",
            ));
    let dataplane_token = leaf("dataplane-token", "Generate Dataplane Token.", &[])
        .arg(text("name", "name of the Dataplane"))
        .arg(mesh())
        .arg(text("proxy-type", "type of the Dataplane (\"dataplane\")"))
        .arg(pairs("tag", "required tag values of the Dataplane, format tag=value1,value2"))
        .arg(text("workload", "name of the workload of the Dataplane"))
        .arg(valid_for().required(true));
    let user_token = leaf("user-token", "Generate User Token.", &[])
        .arg(text("name", "name of the user").required(true))
        .arg(list("group", "group of the user"))
        .arg(valid_for().required(true));
    let zone_token = leaf("zone-token", "Generate Zone Token.", &[])
        .arg(zone())
        .arg(list("scope", scope))
        .arg(valid_for().required(true));
    let tls_certificate = leaf("tls-certificate", "Generate a self-signed TLS certificate.", &[])
        .arg(text("type", "type of the certificate: client or server (required)").required(true))
        .arg(list("hostname", "DNS hostnames or IP addresses to issue the certificate for (required)").required(true))
        .arg(defaulted(text("key-file", "path to a file with the generated private key ('-' for stdout)"), "key.pem"))
        .arg(defaulted(
            text("cert-file", "path to a file with the generated TLS certificate ('-' for stdout)"),
            "cert.pem",
        ))
        .arg(text("key-type", "type of the private key: rsa or ecdsa"));
    group("generate", "Generate resources, tokens, keys and certificates.").subcommands([
        control_plane_token,
        signing_key(dataplane_token),
        leaf("public-key", "Generate the public key of a signing key.", &[])
            .arg(text("signing-key-path", "path to a file with a PEM-encoded signing key").required(true)),
        leaf("signing-key", "Generate a signing key.", &[])
            .arg(defaulted(text("format", "format of the key: pem or pem-base64"), "pem-base64")),
        tls_certificate,
        signing_key(user_token),
        signing_key(zone_token),
    ])
}

fn get() -> Command {
    let mut get = group("get", "Show Kuma resources.").arg(output());
    for kind in Kind::all() {
        let ([singular, other_singular @ ..], [plural, other_plural @ ..]) = (kind.singular, kind.plural) else {
            continue;
        };
        get = get
            .subcommand(
                leaf(singular, format!("Show a single {} resource.", kind.name), &["NAME"])
                    .visible_aliases(other_singular.iter().copied())
                    .arg(mesh()),
            )
            .subcommand(
                leaf(plural, format!("Show {}.", kind.name), &[])
                    .visible_aliases(other_plural.iter().copied())
                    .arg(mesh())
                    .arg(number("size", "maximum number of elements to return"))
                    .arg(text(
                        "offset",
                        "the offset that indicates starting element of the resources list to retrieve",
                    )),
            );
    }
    get
}

fn inspect() -> Command {
    let dataplane = leaf("dataplane", "Inspect Dataplane.", &["NAME"])
        .arg(mesh())
        .arg(defaulted(text("type", "what to show: policies, config-dump, stats, clusters or config"), "policies"))
        .arg(switch("include-eds", "include EDS when dumping envoy config"))
        .arg(switch(
            "shadow",
            "when computing XDS config the CP takes into account policies with 'kuma.io/effect: shadow' label",
        ))
        .arg(list("include", "what to show beside the configuration: diff"));
    let dataplanes = leaf("dataplanes", "Inspect Dataplanes.", &[])
        .arg(mesh())
        .arg(pairs("tag", "filter by tag in format of key=value. You can provide many tags"))
        .arg(switch("gateway", "filter gateway dataplanes"))
        .arg(switch("ingress", "filter ingress dataplanes"));
    // Gateways are no policies, and 2.14 inspects them like one.
    let inspected = |kind: &Kind| kind.policy.is_some() || kind.name == "MeshGateway";
    let policies = Kind::all().filter(inspected).filter_map(|kind| {
        let command = leaf(kind.singular.first()?, format!("Inspect {}.", kind.name), &["NAME"]).arg(mesh());
        Some(command)
    });
    group("inspect", "Inspect resources.")
        .arg(output())
        .subcommand(dataplane)
        .subcommand(dataplanes)
        .subcommands(policies)
        .subcommand(leaf("meshes", "Inspect Meshes.", &[]))
        .subcommand(leaf("zones", "Inspect Zones.", &[]))
}

/// A command with commands below it.
fn group(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .args_override_self(true)
}

/// A command that does something. The words it takes stand in clap's text before the help, a place that nothing else
/// uses; they are counted later, in the order people expect.
fn leaf(name: &'static str, about: impl Into<String>, words: &[&'static str]) -> Command {
    Command::new(name)
        .about(about.into())
        .before_help(words.join(" "))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(Arg::new(ARGUMENTS).num_args(0..).action(ArgAction::Append).hide(true))
}

fn text(name: &'static str, about: impl Into<String>) -> Arg {
    Arg::new(name).long(name).help(about.into()).value_name("string").allow_hyphen_values(true)
}

fn files(about: &'static str) -> Arg {
    text("file", about).short('f').action(ArgAction::Append)
}

fn number(name: &'static str, about: &'static str) -> Arg {
    let check = |text: &str| match text.parse::<i64>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")),
    };
    text(name, about).value_name("int").value_parser(check)
}

fn span(name: &'static str, about: &'static str) -> Arg {
    let check = |text: &str| match duration::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    };
    text(name, about).value_name("duration").value_parser(check)
}

fn list(name: &'static str, about: impl Into<String>) -> Arg {
    text(name, about).value_name("strings").action(ArgAction::Append)
}

fn pairs(name: &'static str, about: &'static str) -> Arg {
    let check = |text: &str| csv::pairs(text).map(|_pairs| text.to_owned());
    text(name, about).value_name("stringToString").action(ArgAction::Append).value_parser(check)
}

fn defaulted(arg: Arg, value: &'static str) -> Arg {
    arg.default_value(value)
}

/// `--flag` and `--flag=false`, but never `--flag false`.
fn switch(name: &'static str, about: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .help(about)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .value_parser(clap::value_parser!(bool))
}

fn help() -> Arg {
    switch("help", "help for this command").short('h')
}

fn mesh() -> Arg {
    defaulted(text("mesh", "mesh to use").short('m'), "default")
}

fn output() -> Arg {
    defaulted(text("output", "output format: one of table|yaml|json").short('o'), "table").global(true)
}
