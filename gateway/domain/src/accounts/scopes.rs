//! What an API key may do. A key has at least one scope.

use std::fmt;
use std::str::FromStr;

/// A permission of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Create, read, cancel and delete runs.
    Runs,
    /// Read whole definitions of apps, and create, change and archive apps.
    AppsWrite,
}

impl Scope {
    pub const ALL: [Self; 2] = [Self::Runs, Self::AppsWrite];

    /// As the API, the console and the database write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::AppsWrite => "apps:write",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Runs => 1,
            Self::AppsWrite => 2,
        }
    }
}

/// A text that names no scope.
#[derive(Debug, thiserror::Error)]
#[error("a scope is one of: runs, apps:write")]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// The scopes of a key that names none.
    pub const DEFAULT: Self = Self(Scope::Runs.bit());

    /// Of the stored names. A newer gateway may have stored names that this build does not know; it grants
    /// nothing for them.
    #[must_use]
    pub fn stored(names: &[String]) -> Self {
        names.iter().filter_map(|name| name.parse().ok()).collect()
    }

    #[must_use]
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        self.iter().map(Scope::as_str).collect()
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<Iter: IntoIterator<Item = Scope>>(scopes: Iter) -> Self {
        Self(scopes.into_iter().fold(0, |all, scope| all | scope.bit()))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_scopes_that_it_was_made_of() {
        let stored =
            |names: &[&str]| Scopes::stored(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(stored(&["runs"]), Scopes::DEFAULT);
        assert_eq!(stored(&["apps:write", "runs", "runs"]).to_string(), "runs, apps:write");
        let newer = stored(&["apps:write", "webhooks:write"]);
        assert_eq!(newer.names(), ["apps:write"]);
        assert!(newer.contains(Scope::AppsWrite) && !newer.contains(Scope::Runs));
        assert!(stored(&["all"]).is_empty(), "an unknown scope grants nothing");
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse::<Scope>().unwrap(), scope);
            assert!(UnknownScope.to_string().contains(scope.as_str()));
        }
    }
}
