//! The operator's accounts as which bots join, and who may use them. Their profiles are in the data folder; [`profile_folder`] is where.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// The folder of the profiles, in the data folder.
pub(crate) const ACCOUNTS: &str = "accounts";
/// The longest name of an account.
pub(crate) const LONGEST_NAME: usize = 40;

/// The settings of an account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSettings {
    /// The consumers whose jobs may use it. Empty: the only consumer of the server.
    #[serde(default)]
    pub consumers: Vec<String>,
    /// How many bots may be signed in as it at once.
    #[serde(default = "one")]
    pub bots: u32,
}

const fn one() -> u32 {
    1
}

/// The accounts of the settings, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts(BTreeMap<String, AccountSettings>);

/// Why a job cannot have an account: the code of an issue, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountRefusal {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// An account, as it is for the jobs of one consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountChoice {
    pub(crate) name: String,
    /// Why they cannot have it.
    pub(crate) refusal: Option<AccountRefusal>,
}

/// Whether a text may be the name of an account. It is the name of a folder too.
pub fn is_account_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= LONGEST_NAME
        && name.bytes().next().is_some_and(letter)
        && name.bytes().all(|byte| letter(byte) || matches!(byte, b'-' | b'_'))
}

/// The profile of an account: a folder of the browser.
pub fn profile_folder(data_dir: &Path, account: &str) -> PathBuf {
    data_dir.join(ACCOUNTS).join(account)
}

impl Accounts {
    /// Checks the settings. The error is the setting and what is wrong with it.
    pub(crate) fn of(
        settings: BTreeMap<String, AccountSettings>,
    ) -> Result<Self, (String, String)> {
        let several = settings.len() > 1;
        for (name, account) in &settings {
            let invalid = |key: &str, problem: &str| {
                Err((format!("bots.browser.accounts.{name}{key}"), problem.to_owned()))
            };
            if !is_account_name(name) {
                let problem = "an account's name has at most 40 small letters, digits, - and _, and begins with a letter or digit";
                return invalid("", problem);
            }
            if account.bots == 0 {
                return invalid(".bots", "must be at least 1");
            }
            if account.consumers.iter().any(|consumer| consumer.trim().is_empty()) {
                return invalid(".consumers", "must name consumers");
            }
            if several && account.consumers.is_empty() {
                let problem = "is required where there is more than one account: the consumers whose jobs may use this one";
                return invalid(".consumers", problem);
            }
        }
        Ok(Self(settings))
    }

    /// Each account's name and settings.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &AccountSettings)> {
        self.0.iter().map(|(name, account)| (name.as_str(), account))
    }

    /// Whether there is no account.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bots may be signed in as each account at once.
    pub(crate) fn limits(&self) -> Vec<(String, u32)> {
        self.iter().map(|(name, account)| (name.to_owned(), account.bots)).collect()
    }

    /// Whether an account names no consumers, so that only the single consumer of a server may use it.
    pub(crate) fn depend_on_other_consumers(&self) -> bool {
        self.0.values().any(|account| account.consumers.is_empty())
    }

    /// Why a job of this consumer cannot have this account (any more); `is_alone`: the server has no other consumer.
    pub(crate) fn refusal(
        &self,
        name: &str,
        consumer: &str,
        is_alone: bool,
    ) -> Option<AccountRefusal> {
        let refusal = |code, message| Some(AccountRefusal { code, message });
        let Some(account) = self.0.get(name) else {
            let message = format!(
                "there is no account {name:?} on this server; its operator sets it up with [bots.browser.accounts.{name}]"
            );
            return refusal("unknown_account", message);
        };
        if account.consumers.is_empty() && !is_alone {
            let message = format!(
                "the server has several consumers, and its operator has not set which of them may use the account {name:?} (bots.browser.accounts.{name}.consumers)"
            );
            return refusal("account_not_allowed", message);
        }
        if !account.consumers.is_empty() && account.consumers.iter().all(|it| it != consumer) {
            let message = format!(
                "the consumer {consumer:?} may not use the account {name:?}; the operator lists it in bots.browser.accounts.{name}.consumers"
            );
            return refusal("account_not_allowed", message);
        }
        None
    }

    /// The accounts, as they are for the jobs of a consumer. One whose profile is not in the data folder cannot be used.
    pub(crate) fn choices(
        &self,
        data_dir: &Path,
        consumer: &str,
        is_alone: bool,
    ) -> Vec<AccountChoice> {
        let choice = |name: &str| {
            let refusal = self.refusal(name, consumer, is_alone).or_else(|| {
                let is_there = profile_folder(data_dir, name).is_dir();
                (!is_there).then(|| AccountRefusal {
                    code: "account_not_available",
                    message: format!(
                        "nobody has signed in as the account {name:?} yet: the operator runs `meetbot browser login google --account {name}`"
                    ),
                })
            });
            AccountChoice { name: name.to_owned(), refusal }
        };
        self.0.keys().map(|name| choice(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(consumers: &[&str]) -> AccountSettings {
        let consumers = consumers.iter().map(ToString::to_string).collect();
        AccountSettings { consumers, bots: 1 }
    }

    fn accounts<const N: usize>(of: [(&str, AccountSettings); N]) -> Accounts {
        Accounts::of(of.map(|(name, account)| (name.to_owned(), account)).into()).unwrap()
    }

    #[test]
    fn wrong_settings_of_an_account_are_named() {
        let wrong = |of: &[(&str, AccountSettings)]| {
            let of = of.iter().map(|(name, account)| ((*name).to_owned(), account.clone()));
            Accounts::of(of.collect()).unwrap_err().0
        };
        for name in ["", "Notes", "-notes", "../notes", "no tes", "é", &"n".repeat(41)] {
            assert_eq!(wrong(&[(name, account(&[]))]), format!("bots.browser.accounts.{name}"));
        }
        let none = AccountSettings { bots: 0, ..account(&[]) };
        assert_eq!(wrong(&[("notes", none)]), "bots.browser.accounts.notes.bots");
        assert_eq!(wrong(&[("notes", account(&[" "]))]), "bots.browser.accounts.notes.consumers");
        let two = [("desk", account(&["acme"])), ("notes", account(&[]))];
        assert_eq!(wrong(&two), "bots.browser.accounts.notes.consumers");
    }

    #[test]
    fn only_listed_consumers_may_use_an_account_or_the_only_consumer_of_a_server() {
        let shared = accounts([("notes", account(&["acme", "desk"]))]);
        let open = accounts([("notes", account(&[]))]);
        for (accounts, name, consumer, is_alone, code) in [
            (&shared, "notes", "acme", false, None),
            (&shared, "notes", "desk", true, None),
            (&shared, "notes", "other", true, Some("account_not_allowed")),
            (&open, "notes", "acme", true, None),
            (&open, "notes", "acme", false, Some("account_not_allowed")),
            (&open, "nots", "acme", true, Some("unknown_account")),
        ] {
            let refused = accounts.refusal(name, consumer, is_alone);
            assert_eq!(refused.map(|refusal| refusal.code), code, "{name} {consumer} {is_alone}");
        }
    }

    #[test]
    fn an_account_without_a_profile_is_not_available() {
        let data = tempfile::tempdir().unwrap();
        let accounts = accounts([("notes", account(&[]))]);
        let code = || {
            let choice = accounts.choices(data.path(), "acme", true).remove(0);
            choice.refusal.map(|refusal| refusal.code)
        };
        assert_eq!(code(), Some("account_not_available"));
        std::fs::create_dir_all(profile_folder(data.path(), "notes")).unwrap();
        assert_eq!(code(), None);
    }
}
