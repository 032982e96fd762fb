//! The identity of a caller.

use std::{fmt, sync::Arc};

use tokens::VerifiedUser;

/// The name and group of the administrator.
pub(crate) const ADMIN: &str = "mesh-system:admin";
/// The group of everyone who proved an identity.
pub(crate) const AUTHENTICATED: &str = "mesh-system:authenticated";
/// The group of everyone else.
pub(crate) const UNAUTHENTICATED: &str = "mesh-system:unauthenticated";

/// Who sent a request. One who is somebody is made only by authentication.
#[derive(Clone, Debug)]
pub struct Caller {
    name: String,
    groups: Vec<String>,
    /// What they proved it with, if not with the connection alone.
    token: Option<Arc<VerifiedUser>>,
    /// They are the administrator because they are on this machine.
    is_local: bool,
}

/// Who somebody is does not depend on the token that says so.
impl PartialEq for Caller {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.groups) == (&other.name, &other.groups)
    }
}

impl Eq for Caller {}

impl Caller {
    /// Returns somebody who is nobody.
    pub(crate) fn anonymous() -> Self {
        Self {
            name: "mesh-system:anonymous".to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            token: None,
            is_local: false,
        }
    }

    /// Somebody who proved this name, for tests.
    #[cfg(test)]
    pub(crate) fn proved(name: &str) -> Self {
        Self { name: name.to_owned(), groups: vec![AUTHENTICATED.to_owned()], token: None, is_local: false }
    }

    /// Returns the administrator of this machine.
    pub(super) fn admin() -> Self {
        let groups = vec![ADMIN.to_owned(), AUTHENTICATED.to_owned()];
        Self { name: ADMIN.to_owned(), groups, token: None, is_local: true }
    }

    pub(super) fn user(user: VerifiedUser) -> Self {
        let mut groups: Vec<String> = user.groups().to_vec();
        // What only the control plane may say of a caller is not taken from a token.
        groups.retain(|group| group != AUTHENTICATED && group != UNAUTHENTICATED);
        groups.push(AUTHENTICATED.to_owned());
        Self { name: user.name().to_owned(), groups, token: Some(Arc::new(user)), is_local: false }
    }

    /// What they proved it with, if not with the connection alone.
    pub(crate) fn token(&self) -> Option<Arc<VerifiedUser>> {
        self.token.clone()
    }

    /// Whether they are the administrator because they are on this machine.
    pub(super) fn is_local(&self) -> bool {
        self.is_local
    }

    /// Their name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The groups they are in; at least one.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Returns whether the caller proved an identity.
    pub fn is_authenticated(&self) -> bool {
        self.groups.iter().any(|group| group == AUTHENTICATED)
    }
}

/// Writes the caller as error texts do: `name/group,group`.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.groups.join(","))
    }
}
