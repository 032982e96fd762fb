//! What streams are told at their end: thousands may end at once with the same reason, which is put into words once.

use std::sync::{Mutex, PoisonError};

use http::HeaderMap;

use crate::{
    kds::{frames::outbound, messages::convert},
    zones::registry::CloseReason,
};

/// Remembers the reason that was told last.
#[derive(Default)]
pub(super) struct Farewell(Mutex<Option<(CloseReason, HeaderMap)>>);

impl Farewell {
    /// The trailers that tell a reason.
    pub(super) fn of(&self, reason: &CloseReason) -> HeaderMap {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, trailers)) if known == reason => trailers.clone(),
            Some(_) | None => {
                let trailers = outbound::trailers(&convert::close_status(reason));
                *last = Some((reason.clone(), trailers.clone()));
                trailers
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::*;

    #[test]
    fn each_reason_is_told_in_its_own_words() {
        let farewell = Farewell::default();
        let by = |instance: &str| CloseReason::Replaced { by: instance.to_owned() };
        for (reason, code) in [
            (CloseReason::KeyRetired, Code::Unauthenticated),
            (CloseReason::KeyRetired, Code::Unauthenticated),
            (by("one"), Code::Aborted),
            (by("two"), Code::Aborted),
            (CloseReason::KeyRetired, Code::Unauthenticated),
        ] {
            let told = Status::from_header_map(&farewell.of(&reason)).unwrap();
            assert_eq!((told.code(), told.message()), (code, &*reason.to_string()));
        }
    }
}
