//! Who may not connect is refused with a reason it can act on, and leaves no trace but a log line and a count.

use testkit::client;

use crate::stage::world::World;

/// Starts a zone that must be refused; returns what the zone and global said.
fn refused(world: &World, settings: &[(&str, &str)]) -> String {
    let zone = world.zone("west", settings);
    let line = zone.line(&["not connected to the global control plane"]);
    assert_eq!(client::ask(world.http(), "GET", "/zones/west", None).0, 404, "a refusal creates no Zone");
    line
}

#[test]
fn a_zone_without_a_good_token_is_refused_with_the_reason() {
    let world = World::new(&[]);
    let path = "KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH";
    let inline = "KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE";

    assert!(refused(&world, &[]).contains("did not provide"));
    let other = world.token_file("east");
    assert!(refused(&world, &[(path, &other)]).contains("token is signed for"));
    assert!(refused(&world, &[(inline, "garbage")]).contains("could not parse token"));
    let forged = format!("{}A", world.token("west"));
    assert!(refused(&world, &[(inline, &forged)]).contains("invalid zone token"));
    let sample = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJab25lIjoid2VzdCIsIlRva2VuU2VyaWFsTnVtYmVyIjo5fQ.kIrS5Qp0uJZ9w0sHSxFQ3e8Lk5Qm2xkq1h7F9pYyMpQ";
    assert!(refused(&world, &[(inline, sample)]).contains("invalid zone token"));

    for reason in ["missing", "wrong-zone", "malformed", "bad-signature", "unknown-key"] {
        world.global.line(&["kds.auth", "Zone CP refused", &format!("\"reason\": \"{reason}\"")]);
    }
    let (_, metrics) = client::ask(world.global.address("diagnostics"), "GET", "/metrics", None);
    for reason in ["missing", "wrong-zone", "malformed"] {
        assert!(
            metrics
                .lines()
                .any(|line| line.starts_with("zone_auth_total{") && line.contains(&format!("reason=\"{reason}\""))),
            "{reason} in {metrics}"
        );
    }
    assert!(!metrics.contains("zone_name=\"west\""), "no label from an unverified name");
}

#[test]
fn another_authority_or_host_name_is_refused_and_gets_no_token() {
    let world = World::new(&[]);
    let token = world.token_file("west");
    let (cert, _key) = world.certificate("other");
    let path = "KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH";
    let line = refused(&world, &[(path, &token), ("KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE", &cert)]);
    assert!(line.contains("no token was sent"), "{line}");
    // No CA at all means the system's, which does not know a self-made certificate.
    let line = refused(&world, &[(path, &token), ("KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE", "")]);
    assert!(line.contains("no token was sent"), "{line}");
    // The right certificate under a name it does not have.
    let port = world.global.address("kds").port();
    let wrong_name = format!("grpcs://wrong.localhost:{port}");
    let line = refused(&world, &[(path, &token), ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", &wrong_name)]);
    assert!(line.contains("no token was sent") || line.contains("cannot reach"), "{line}");
    assert!(!world.global.text().contains("successfully authenticated"));
}

#[test]
fn a_token_never_goes_over_plain_text() {
    let world = World::of_programs(&[]);
    let token = world.token_file("west");
    let zone = world.zone(
        "west",
        &[
            ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", &token),
            ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", "grpc://localhost:1"),
        ],
    );
    let (status, log) = zone.ended();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("grpcs"), "{log}");
}
