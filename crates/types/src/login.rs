//! `meetbot login`: a program asks for a key, and somebody who is signed in to the dashboard approves it (a device flow after RFC 8628).

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::KeyScope;

words! {
    /// The world that a key is for.
    pub enum World {
        /// Real meetings.
        Live = "live",
        /// The sandbox.
        Test = "test",
    }
}

words! {
    /// What becomes of a login.
    pub enum Decision {
        /// The program gets a key.
        Approve = "approve",
        /// It gets none.
        Deny = "deny",
    }
}

/// The body of `POST /api/v1/cli-auth/init`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NewLogin {
    /// What the key is to be allowed to do; by default `write`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<KeyScope>,
    /// The world that it is for; by default that of the session which approves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub world: Option<World>,
    /// The name of the machine that asks, which is shown to the person who approves.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "openapi",
        schema(example = "laptop", pattern = "^[A-Za-z0-9._-]{1,64}$")
    )]
    pub host: Option<String>,
}

/// A login that waits for its approval.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StartedLogin {
    /// What the program polls with. It is secret: the key is given to the one who shows it.
    pub nonce: String,
    /// What the person types in the dashboard.
    #[cfg_attr(feature = "openapi", schema(example = "WDJB-MJHT"))]
    pub user_code: String,
    /// The page of the dashboard where they type it.
    #[cfg_attr(feature = "openapi", schema(example = "https://meet.example.com/#/login"))]
    pub verification_url: String,
    /// For how long the code is good, in seconds.
    pub expires_in: u64,
    /// The least time between two polls, in seconds.
    pub interval: u64,
}

impl fmt::Debug for StartedLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartedLogin").field("url", &self.verification_url).finish_non_exhaustive()
    }
}

/// The body of `POST /api/v1/cli-auth/find`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LoginCode {
    /// The code as the program shows it; case, spaces and hyphens do not matter.
    #[cfg_attr(feature = "openapi", schema(example = "WDJB-MJHT", max_length = 40))]
    pub user_code: String,
}

/// What a program asks for, as the person who approves it sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AskedLogin {
    /// What the program calls its machine.
    pub host: Option<String>,
    /// Where it asked from, as the server sees it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "ip"))]
    pub address: IpAddr,
    /// What the key is to be allowed to do.
    pub scope: KeyScope,
    /// The world that it is for; `null`: that of the session which approves it.
    pub world: Option<World>,
    /// For how long the code is still good, in seconds.
    pub expires_in: u64,
}

/// The body of `POST /api/v1/cli-auth/complete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LoginDecision {
    /// The code as the program shows it; case, spaces and hyphens do not matter.
    #[cfg_attr(feature = "openapi", schema(example = "WDJB-MJHT", max_length = 40))]
    pub user_code: String,
    /// Whether the program gets a key.
    pub decision: Decision,
    /// What the key may do: at most what was asked for, which is the default, and at most what the caller's key may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<KeyScope>,
}
