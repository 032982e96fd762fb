//! The whole of the page "Multi-zone authentication", command by command, with the built programs.

use testkit::client;

use crate::stage::world::{KUMA_CP, World, decode};

const SETTINGS: &[(&str, &str)] = &[("KMESH_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "cpToken")];

#[test]
fn the_documented_walk_works_as_it_is_written() {
    walk(World::of_programs(SETTINGS));
}

#[test]
fn the_documented_walk_works_on_postgres() {
    if let Some(world) = World::of_programs_on_postgres(SETTINGS) {
        walk(world);
    }
}

fn walk(mut world: World) {
    // Check the signing key.
    let secrets = world.kumactl.ok(&["get", "global-secrets"], "");
    let mut lines = secrets.lines();
    assert!(lines.next().is_some_and(|header| header.split_whitespace().eq(["NAME", "AGE"])), "{secrets}");
    for name in
        ["admin-user-token", "control-plane-signing-key-0001", "user-token-signing-key-1", "zone-token-signing-key-1"]
    {
        assert!(secrets.lines().any(|line| line.split_whitespace().next() == Some(name)), "{name} in {secrets}");
    }

    // Generate a token, add it to the zone: each of the four settings.
    let token = world.token("west");
    let file = world.file("token", &token);
    for (key, value) in [
        ("KMESH_MULTIZONE_REMOTE_KDS_AUTH_CP_TOKEN_INLINE", &token),
        ("KMESH_MULTIZONE_ZONE_KDS_AUTH_CP_TOKEN_INLINE", &token),
        ("KMESH_MULTIZONE_REMOTE_KDS_AUTH_CP_TOKEN_PATH", &file),
        ("KMESH_MULTIZONE_ZONE_KDS_AUTH_CP_TOKEN_PATH", &file),
        ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE", &token),
    ] {
        let zone = world.zone("west", &[(key, value)]);
        zone.line(&["\tconnected to the global control plane"]);
        world.wait_online("west");
        drop(zone);
        world.wait_offline("west");
    }
    let zone = world.zone("west", &[("KMESH_MULTIZONE_ZONE_KDS_AUTH_CP_TOKEN_PATH", &file)]);
    world.wait_online("west");
    let table = world.kumactl.ok(&["inspect", "zones"], "");
    assert!(table.lines().any(|line| line.split_whitespace().take(2).eq(["west", "Online"])), "{table}");

    // A new signing key; both verify; the next token is of serial 2.
    let key = world.kumactl.ok(&["generate", "signing-key"], "");
    let applied = world.kumactl.ok(
        &["apply", "--var", &format!("key={key}"), "-f", "-"],
        "type: GlobalSecret\nname: control-plane-signing-key-0002\ndata: {{ key }}\n",
    );
    assert!(applied.contains("Created"), "{applied}");
    let second = world.token("west");
    assert_eq!(decode(&second).1, r#"{"Zone":"west","TokenSerialNumber":2}"#);
    assert!(world.online("west"), "the old key still verifies");

    // Regenerate: the zone moves by itself.
    let mark = world.global.mark();
    world.file("token", &second);
    world.global.line_after(mark, &["successfully authenticated", r#"{"tokenSerialNumber": 2, "zone": "west"}"#]);
    zone.line(&["the new token was accepted"]);

    // Remove the old key: new connections with it are refused, west stays without a gap.
    let mark = zone.mark();
    let deleted = world.kumactl.ok(&["delete", "global-secret", "control-plane-signing-key-0001"], "");
    assert_eq!(deleted.trim_end(), "deleted GlobalSecret \"control-plane-signing-key-0001\"");
    let old = world.zone("east", &[("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE", &token)]);
    old.line(&["not connected to the global control plane"]);
    drop(old);
    assert!(world.online("west"));
    assert!(!zone.logged_after(mark, &["not connected"]), "{}", zone.text());

    // Restart the global: the zone returns on its own, keys are unchanged.
    let before = client::get(world.http(), "/global-secrets");
    world.global.restart();
    assert_eq!(client::get(world.http(), "/global-secrets"), before);
    world.wait_online("west");
    drop(zone);

    // Own CA.
    let (cert, key) = world.certificate("tls");
    world.global.terminate();
    world.global.set("KUMA_MULTIZONE_GLOBAL_KDS_TLS_CERT_FILE", &cert);
    world.global.set("KUMA_MULTIZONE_GLOBAL_KDS_TLS_KEY_FILE", &key);
    world.global.again();
    world.global.address("kds");
    let token = world.token_file("west");
    let own = [
        ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", token.as_str()),
        ("KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE", cert.as_str()),
    ];
    let zone = world.zone("west", &own);
    zone.line(&["\tconnected to the global control plane"]);
    world.wait_online("west");
    drop(zone);
    world.wait_offline("west");
    let stranger = world.zone("west", &own[..1]);
    let line = stranger.line(&["not connected to the global control plane"]);
    assert!(line.contains("no token was sent"), "{line}");
}

#[test]
fn the_version_command_says_what_it_is() {
    let output = std::process::Command::new(KUMA_CP).arg("version").output().unwrap();
    assert!(output.status.success());
    assert!(!output.stdout.is_empty());
}
