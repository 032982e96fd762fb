//! What a Secret or GlobalSecret holds: the one place that reads and writes its spec.

use bytes::Bytes;
use prost::Message as _;
use wire::kuma::system::v1alpha1::Secret;
use zeroize::Zeroizing;

/// Returns the spec of a secret that holds `data`.
pub fn encode(data: &[u8]) -> Bytes {
    let secret = Secret { data: Some(data.to_vec()) };
    let spec = secret.encode_to_vec().into();
    drop(secret.data.map(Zeroizing::new));
    spec
}

/// Returns the data of a secret; `None` if it has none or its spec is no message: what is not there must not be read as an
/// empty list or an empty key.
pub fn decode(spec: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    Secret::decode(spec).ok().and_then(|secret| secret.data).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Kind, base64, proto};

    #[test]
    fn data_comes_back_as_it_was() {
        for data in [&b"a key"[..], b"", b"\0\xff\n"] {
            assert_eq!(decode(&encode(data)).as_deref().map(Vec::as_slice), Some(data));
        }
    }

    #[test]
    fn what_has_no_data_or_is_no_message_is_not_empty() {
        assert_eq!(decode(b""), None);
        assert_eq!(decode(b"\xff\xff"), None);
    }

    #[test]
    fn a_secret_of_a_document_is_the_same_bytes() {
        let data = b"a key\n";
        let document = json!({"data": base64::encode(data)});
        for kind in [Kind::SECRET, Kind::GLOBAL_SECRET] {
            assert_eq!(proto::spec_from_json(kind, document.as_object().unwrap()).unwrap(), encode(data));
        }
    }
}
