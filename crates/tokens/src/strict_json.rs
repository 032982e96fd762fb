//! JSON in which every member has a name of its own.
//!
//! Two readers that disagree about which of two members counts are how a token means one thing to the one who checks
//! it and another to the one who uses it.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Returns the object that the bytes are, or nothing if they are none, or a name stands twice somewhere in it.
pub(crate) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(bytes) {
        Ok(Strict(Value::Object(members))) => Some(members),
        Ok(Strict(_)) | Err(_) => None,
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Once.deserialize(deserializer).map(Self)
    }
}

struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without members of one name")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(Self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Self)?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Value>) {
        assert_eq!((text, object(text.as_bytes()).map(Value::Object)), (text, expected));
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        check(r#"{"Zone":"west","Zone":"east"}"#, None);
        check(r#"{"Zone":"west","\u005aone":"east"}"#, None);
        check(r#"{"a":[{"b":1,"b":1}]}"#, None);
    }

    #[test]
    fn other_json_is_what_it_says() {
        let text = r#"{"a":[1,-2,1.5,true,null,"x"],"b":{"a":"\u00e9"}}"#;
        check(text, serde_json::from_str(text).ok());
    }

    #[test]
    fn what_is_no_object_is_none() {
        for bad in ["", "1", "[]", "null", "{} {}", "{", "{\"a\":1,}", "\u{feff}{}", &"[".repeat(4000)] {
            check(bad, None);
        }
        check(&format!("{}{}", r#"{"a":"#.repeat(4000), "1"), None);
        assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
    }
}
