//! The release that a zone says it is.

/// A release of a zone: major, minor and patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Release {
    /// Returns a release.
    pub(crate) const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Reads a version. What is no release is `None`: builds between releases are newer, whatever number they have.
    pub fn parse(version: &str) -> Option<Self> {
        if version.contains("preview") {
            return None;
        }
        let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse::<u32>().ok());
        let (Some(major), Some(minor)) = (numbers.next()?, numbers.next()?) else { return None };
        let patch = numbers.next().flatten().unwrap_or_default();
        (major > 0).then_some(Self { major, minor, patch })
    }

    /// Whether a zone of this release drops a whole batch when it rejects one resource of it: before 2.9.4 (contract: kds
    /// 11.1).
    pub fn drops_rejected_batches(self) -> bool {
        self < Self::new(2, 9, 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zones_before_2_9_4_drop_whole_batches() {
        for (version, expected) in [
            ("2.9.3", true),
            ("2.9.0", true),
            ("2.8.7", true),
            ("2.9.4", false),
            ("2.10.0", false),
            ("2.14.3", false),
            ("3.0.0-preview.1", false),
            ("0.0.0-preview.vabcdef123", false),
            ("2.9.0-preview.vabcdef123", false),
            ("0.0.0", false),
            ("", false),
            ("unknown", false),
        ] {
            assert_eq!(Release::parse(version).is_some_and(Release::drops_rejected_batches), expected, "{version}");
        }
    }
}
