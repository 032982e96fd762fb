//! `token-rates`: how many tokens one core verifies and issues in a second, beside what the signature alone costs in the
//! cryptography library, for each algorithm; and what a verdict costs on a token that was shown before.
//!
//! Each figure is the fastest of many short rounds: what else the machine does makes a round slower, never faster.
#![expect(clippy::print_stdout, reason = "a program that measures and prints")]

use std::{hint::black_box, sync::Mutex, time::Duration};

use anyhow::{Context as _, anyhow, ensure};
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
        ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use clap::Parser;
use jiff::Timestamp;
use model::ZoneName;
use tokens::{Accept, Algorithm, KeyRing, Scope, SecretEntry, SignedZone, SigningKey, Token, Verdicts, Want};
use tokio::time::Instant;
use uuid::Uuid;

/// Checks a signature over something signed.
type Check = Box<dyn Fn(&[u8], &[u8]) -> bool>;
/// Signs, and says how long the signature is.
type Sign = Box<dyn Fn(&[u8]) -> usize>;

#[derive(Parser)]
struct Options {
    /// How long each figure is measured, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    millis: u64,
    /// How many other tokens are remembered while a known one is judged.
    #[arg(long, default_value_t = 5000)]
    known: u32,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    println!(
        "| | raw verify, µs | verify, µs | × raw | a second | known, ns | raw sign, µs | issue, µs | × raw | a second |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for algorithm in Algorithm::ALL {
        Bench::new(algorithm)?.print(&options)?;
    }
    Ok(())
}

const HOUR: Duration = Duration::from_secs(3600);

/// One algorithm: a ring with a key for it, and a token.
struct Bench {
    algorithm: Algorithm,
    key: SigningKey,
    ring: KeyRing,
    zone: ZoneName,
    now: Timestamp,
    token: Token,
}

impl Bench {
    fn new(algorithm: Algorithm) -> anyhow::Result<Self> {
        let key = tokens::generate_key(algorithm);
        let name = match algorithm {
            Algorithm::Hs256 => "control-plane-signing-key-0001",
            Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa => "zone-token-signing-key-1",
        };
        let (ring, problems) = KeyRing::build(1, &[SecretEntry { mesh: "", name, data: Some(key.reveal()) }]);
        ensure!(problems.is_empty(), "the key of {algorithm}: {problems:?}");
        let (zone, now) = (ZoneName::parse("west")?, Timestamp::from_second(1_795_475_234)?);
        let token = issue(&ring, algorithm, &zone, now, Uuid::from_u128(0))?;
        Ok(Self { algorithm, key, ring, zone, now, token })
    }

    fn want(&self) -> Want<'_> {
        Want { zone: self.zone.as_str(), accept: Accept::CpToken, leeway: HOUR, legacy_until: None }
    }

    fn print(&self, options: &Options) -> anyhow::Result<()> {
        let raw = self.token.reveal();
        let (signed, signature) = raw.rsplit_once('.').context("a token has a signature")?;
        let signature = URL_SAFE_NO_PAD.decode(signature)?;
        let check = self.raw_check()?;
        ensure!(check(signed.as_bytes(), &signature), "the library refuses what was issued");
        let raw_verify = fastest(options, || check(black_box(signed.as_bytes()), &signature));
        let verify = fastest(options, || tokens::verify(black_box(raw), &self.ring, self.now, &self.want()));
        let known = self.known(options)?;
        let sign = self.raw_sign()?;
        let raw_sign = fastest(options, || sign(black_box(signed.as_bytes())));
        let issue = fastest(options, || issue(&self.ring, self.algorithm, &self.zone, self.now, Uuid::from_u128(0)));
        println!(
            "| {} | {:.2} | {:.2} | {:.2} | {:.0} | {known:.0} | {:.2} | {:.2} | {:.2} | {:.0} |",
            self.algorithm,
            raw_verify / 1e3,
            verify / 1e3,
            verify / raw_verify,
            1e9 / verify,
            raw_sign / 1e3,
            issue / 1e3,
            issue / raw_sign,
            1e9 / issue,
        );
        Ok(())
    }

    /// What a verdict costs on a token that was shown before, among many others.
    fn known(&self, options: &Options) -> anyhow::Result<f64> {
        let mut verdicts = Verdicts::new(8192);
        let mut show = |token: &Token| -> anyhow::Result<()> {
            let signed = SignedZone::check(token.reveal(), &self.ring, &self.want())?;
            verdicts.remember(token.reveal(), &self.ring, signed);
            Ok(())
        };
        for number in 1..=options.known {
            show(&issue(&self.ring, self.algorithm, &self.zone, self.now, Uuid::from_u128(number.into()))?)?;
        }
        show(&self.token)?;
        let (verdicts, raw) = (Mutex::new(verdicts), self.token.reveal());
        let known = || verdicts.lock().ok()?.zone(black_box(raw), &self.ring, self.now, &self.want());
        ensure!(known().is_some_and(|verdict| verdict.is_ok()), "the token is not known");
        Ok(fastest(options, known))
    }

    /// Checks a signature with the library alone.
    fn raw_check(&self) -> anyhow::Result<Check> {
        let public = |algorithm| -> anyhow::Result<ParsedPublicKey> {
            let der = der(&tokens::public_half(self.key.reveal())?)?;
            Ok(ParsedPublicKey::new(algorithm, der)?)
        };
        let key = match self.algorithm {
            Algorithm::Hs256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.reveal());
                return Ok(Box::new(move |signed, signature| hmac::verify(&key, signed, signature).is_ok()));
            }
            Algorithm::Rs256 => public(&RSA_PKCS1_2048_8192_SHA256)?,
            Algorithm::Es256 => public(&ECDSA_P256_SHA256_FIXED)?,
            Algorithm::EdDsa => public(&ED25519)?,
        };
        Ok(Box::new(move |signed, signature| key.verify_sig(signed, signature).is_ok()))
    }

    /// Signs with the library alone; the length of the signature shows that it was made.
    fn raw_sign(&self) -> anyhow::Result<Sign> {
        let private = || der(self.key.pem().context("a key in PEM")?);
        Ok(match self.algorithm {
            Algorithm::Hs256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.reveal());
                Box::new(move |signed| hmac::sign(&key, signed).as_ref().len())
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_der(&private()?).map_err(|problem| anyhow!("{problem}"))?;
                Box::new(move |signed| {
                    let mut signature = vec![0; pair.public_modulus_len()];
                    let signs = pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut signature);
                    signs.map_or(0, |()| signature.len())
                })
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private()?)
                    .map_err(|problem| anyhow!("{problem}"))?;
                Box::new(move |signed| pair.sign(&SystemRandom::new(), signed).map_or(0, |made| made.as_ref().len()))
            }
            Algorithm::EdDsa => {
                let pair =
                    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&private()?).map_err(|problem| anyhow!("{problem}"))?;
                Box::new(move |signed| pair.sign(signed).as_ref().len())
            }
        })
    }
}

fn issue(ring: &KeyRing, algorithm: Algorithm, zone: &ZoneName, now: Timestamp, id: Uuid) -> anyhow::Result<Token> {
    Ok(match algorithm {
        Algorithm::Hs256 => tokens::issue_control_plane(ring, zone, Some(HOUR), now, id)?,
        Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa => {
            tokens::issue_zone(ring, zone, Some(&[Scope::Cp]), HOUR, now, id)?
        }
    })
}

/// What stands in a PEM.
fn der(pem: &str) -> anyhow::Result<Vec<u8>> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Ok(STANDARD.decode(body)?)
}

/// How many nanoseconds one of these takes in the fastest of many rounds.
fn fastest<T>(options: &Options, mut work: impl FnMut() -> T) -> f64 {
    const ROUND: u32 = 200;
    let (start, limit) = (Instant::now(), Duration::from_millis(options.millis));
    let mut fastest = f64::INFINITY;
    while start.elapsed() < limit {
        let round = Instant::now();
        for _ in 0..ROUND {
            black_box(work());
        }
        fastest = fastest.min(round.elapsed().as_nanos() as f64 / f64::from(ROUND));
    }
    fastest
}
