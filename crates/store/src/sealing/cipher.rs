//! One cipher for all that is sealed here: AES-256-GCM under a key that is derived for each use.
//!
//! ```text
//! salt (16) | nonce (12) | ciphertext | tag (16)          key of this use = HKDF-SHA256(key, salt)
//! ```
//!
//! Random nonces alone would bound how often a key may be used (2^32 times), and somebody would have to count, on all
//! instances. With a key for each use, salt and nonce are 28 random bytes that must not come twice: nobody writes that often.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
    rand,
};

/// How many bytes a key has.
pub(super) const KEY: usize = 32;
const SALT: usize = 16;
const INFO: &[u8] = b"arctos store sealing 1";

/// Appends `content`, sealed and bound to `bound_to`; nothing if the system has no random bytes or it is too large.
pub(super) fn seal(key: &[u8; KEY], bound_to: &[u8], content: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let mut salt = [0; SALT];
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut salt).ok()?;
    rand::fill(&mut nonce).ok()?;
    // With room for all at once: a vector that grows leaves copies of what is plain behind.
    to.reserve_exact(SALT + NONCE_LEN + content.len() + AES_256_GCM.tag_len());
    to.extend_from_slice(&salt);
    to.extend_from_slice(&nonce);
    let start = to.len();
    to.extend_from_slice(content);
    let in_place = to.get_mut(start..)?;
    let tag = derived(key, &salt)?
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound_to), in_place)
        .ok()?;
    to.extend_from_slice(tag.as_ref());
    Some(())
}

/// Opens what [`seal`] appended; nothing if it was changed, is bound to something else, or another key sealed it.
pub(super) fn open(key: &[u8; KEY], bound_to: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (salt, rest) = sealed.split_first_chunk::<SALT>()?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
    let mut content = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = derived(key, salt)?.open_in_place(nonce, Aad::from(bound_to), &mut content).ok()?.len();
    content.truncate(length);
    Some(content)
}

fn derived(key: &[u8; KEY], salt: &[u8; SALT]) -> Option<LessSafeKey> {
    let secret = Salt::new(HKDF_SHA256, salt).extract(key);
    let key = secret.expand(&[INFO], &AES_256_GCM).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(key)))
}
