//! Who may do what: one table of actions, and which action each call of the API is.
//!
//! A call passes when the caller's role in the workspace may do its action, when the key's scopes cover it, and, for the
//! token of an app (OAuth 2), when apps may do it at all. What a call changes beyond that (a key that gives away more than
//! it has) is its handler's to refuse.
//!
//! | action | scope | owner | editor | viewer | apps |
//! | --- | --- | --- | --- | --- | --- |
//! | read links, statistics, the account | `read` | yes | yes | yes | yes |
//! | make, change, delete links and what belongs to them | `write` | yes | yes | no | yes |
//! | change the own sign-in, end what apps may do | `write` | yes | yes | yes | no |
//! | keys; of other members: owners only | `keys` | yes | yes | yes | no |
//! | members, apps of the workspace | `keys` | yes | no | no | no |
//! | users, plans | `admin` | administrators | | | no |
//!
//! Apps get neither keys nor the sign-in: both would outlive the moment their user takes the permission back.

use std::fmt;

use super::field::FieldError;
use super::key::{Scope, Scopes};

/// What a user is in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything in it, members included.
    Owner,
    /// Links and what belongs to them.
    Editor,
    /// Looks on.
    Viewer,
}

/// All roles with their names.
const ROLES: [(Role, &str); 3] = [
    (Role::Owner, "owner"),
    (Role::Editor, "editor"),
    (Role::Viewer, "viewer"),
];

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Role {
    /// As it is written.
    pub fn name(self) -> &'static str {
        ROLES
            .iter()
            .find(|(role, _)| *role == self)
            .map_or("", |(_, name)| name)
    }

    /// From its name.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        Self::stored(text.trim())
            .ok_or_else(|| FieldError::new("role", "must be owner, editor or viewer"))
    }

    /// From a database row. What this version does not know gives no right.
    pub fn stored(text: &str) -> Option<Self> {
        ROLES
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(role, _)| *role)
    }

    /// Those of a key's scopes that count in this role. Administration is a matter of the user, not of a role.
    pub fn limit(self, scopes: &Scopes, is_admin: bool) -> Scopes {
        if is_admin && scopes.allow(Scope::Admin) {
            return scopes.clone();
        }
        let most: &[Scope] = match self {
            Self::Owner | Self::Editor => &[Scope::Read, Scope::Write, Scope::Keys],
            Self::Viewer => &[Scope::Read, Scope::Keys],
        };
        scopes.only(most)
    }
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Read links, statistics, the account.
    Read,
    /// Make, change, delete links and what belongs to them.
    Write,
    /// Change the own sign-in, end what apps may do.
    Account,
    /// List, make, rotate, delete keys.
    Keys,
    /// Members and apps of the workspace.
    Manage,
    /// Users and plans of the installation.
    Administer,
}

impl Action {
    /// The scope that a key needs.
    pub fn scope(self) -> Scope {
        match self {
            Self::Read => Scope::Read,
            Self::Write | Self::Account => Scope::Write,
            Self::Keys | Self::Manage => Scope::Keys,
            Self::Administer => Scope::Admin,
        }
    }

    /// Whether the role may. Of administration the scope decides alone, which only keys of administrators have.
    pub fn is_for(self, role: Role) -> bool {
        match self {
            Self::Read | Self::Account | Self::Keys | Self::Administer => true,
            Self::Write => role != Role::Viewer,
            Self::Manage => role == Role::Owner,
        }
    }

    /// Whether the token of an app may.
    pub fn is_for_apps(self) -> bool {
        matches!(self, Self::Read | Self::Write)
    }
}

/// Calls that anybody may make, by the beginning of their route.
const OPEN: [&str; 16] = [
    "/api/openapi.json",
    "/api/docs",
    "/api/v1/openapi.json",
    "/api/v1/docs",
    "/api/v2/openapi.json",
    "/api/v2/docs",
    "/v1/openapi.json",
    "/v1/docs",
    "/api/oauth/token",
    "/api/oauth/revoke",
    "/avatars/",
    "/.well-known/",
    "/oauth/",
    "/login",
    "/logout",
    "/invitation/",
];

/// Calls that are neither reading nor writing, by the beginning of their route.
const OTHERS: [(&str, Action); 12] = [
    ("/api/account/update", Action::Account),
    ("/api/oauth/apps", Action::Account),
    ("/api/oauth/app/", Action::Account),
    ("/api/keys", Action::Keys),
    ("/api/key/", Action::Keys),
    ("/api/members", Action::Manage),
    ("/api/member/", Action::Manage),
    ("/api/oauth/client", Action::Manage),
    ("/api/plans", Action::Administer),
    ("/api/plan/", Action::Administer),
    ("/api/users", Action::Administer),
    ("/api/user/", Action::Administer),
];

/// Which action a call of this method and route is; `None`: one that needs no key. A route that nothing is said of is
/// reading with GET and HEAD, and writing with everything else.
pub fn needed(method: &str, route: &str) -> Option<Action> {
    if OPEN.iter().any(|start| route.starts_with(start)) {
        return None;
    }
    if let Some((_, action)) = OTHERS.iter().find(|(start, _)| route.starts_with(start)) {
        return Some(*action);
    }
    // Many clients post where they mean to read.
    let reads = matches!(method, "GET" | "HEAD") || (method, route) == ("POST", "/api/account");
    Some(if reads { Action::Read } else { Action::Write })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(call: &str, expected: Option<Action>) {
        let (method, route) = call.split_once(' ').expect("method and route");
        assert_eq!(needed(method, route), expected, "{call}");
    }

    #[test]
    fn every_call_has_one_action() {
        check("GET /api/urls", Some(Action::Read));
        check("HEAD /api/urls", Some(Action::Read));
        check("POST /api/account", Some(Action::Read));
        check("PUT /api/account/update", Some(Action::Account));
        check("POST /api/url/add", Some(Action::Write));
        check("PATCH /api/file/{id}", Some(Action::Write));
        check("GET /api/keys", Some(Action::Keys));
        check("POST /api/member/add", Some(Action::Manage));
        check("GET /api/users", Some(Action::Administer));
        check("GET /api/user/login/{id}", Some(Action::Administer));
        check("POST /api/oauth/token", None);
        check("POST /api/oauth/client/add", Some(Action::Manage));
        check("GET /api/oauth/clients", Some(Action::Manage));
        check("GET /login/{token}", None);
        check("GET /api/v2/openapi.json", None);
        check("GET /v1/docs", None);
        check("GET /api/v2/links", Some(Action::Read));
        check("PATCH /v1/links/{id}", Some(Action::Write));
        check("GET /a/route/of/tomorrow", Some(Action::Read));
        check("POST /a/route/of/tomorrow", Some(Action::Write));
    }

    #[test]
    fn a_role_takes_scopes_away_and_never_gives_one() {
        let all = Scopes::all();
        assert_eq!(Role::Owner.limit(&all, false), Scopes::usual());
        assert_eq!(Role::Viewer.limit(&all, false).names(), ["read", "keys"]);
        assert_eq!(Role::Viewer.limit(&all, true), all);
        let read = Scopes::parse(["read"]).expect("legal");
        for (role, name) in ROLES {
            assert_eq!(role.limit(&read, true), read);
            assert_eq!(Role::parse(name), Ok(role));
        }
        assert!(Role::parse("root").is_err());
    }
}
