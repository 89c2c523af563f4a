//! Pending logins of `meetbot login` (a device flow after RFC 8628). The rules are pure and take `now`.
//!
//! They are kept in memory: unauthenticated callers may begin logins, and must not write to the store. A login that a restart of the server ends, within
//! its ten minutes, has to be begun again. The key is not kept here: it is created when the program polls after the approval.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use meetbot_types::{KeyId, bot::Secret};

use crate::{
    keys,
    letters::{code, letters},
    limits::RateLimiter,
    store::Scope,
};

/// How long a code is valid.
pub(crate) const LIFE: Duration = Duration::from_mins(10);
/// How long a program waits between two polls.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);
/// Letters of a code: 20 to the power of 8 are 2.6 · 10^10 codes.
const CODE_LENGTH: usize = 8;
/// Letters and digits of a nonce: more than 230 random bits.
const NONCE_LENGTH: usize = 40;
/// The most logins that may be pending.
const AT_MOST: usize = 1000;
/// Logins that one address may begin in a minute.
const BEGUN_PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// How many wrong codes one key may try in a minute.
const WRONG_PER_MINUTE: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// What a program asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoginRequest {
    pub(crate) scope: Scope,
    /// Live or test world; `None`: the world of the session that approves it.
    pub(crate) live: Option<bool>,
    pub(crate) host: Option<String>,
    pub(crate) address: IpAddr,
}

/// The key that approved a login, and the scope that it granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Approval {
    pub(crate) key: KeyId,
    /// The public prefix of that key, by which it is looked up.
    pub(crate) prefix: String,
    /// The scope of the new key.
    pub(crate) scope: Scope,
}

#[derive(Debug)]
enum State {
    Waiting(LoginRequest),
    Approved(Approval),
    Denied,
}

#[derive(Debug)]
struct Login {
    state: State,
    /// When it began, on the steady clock, as all times here.
    until: Duration,
    /// A poll before this moment is too early.
    next_poll: Duration,
}

/// The result of a poll.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PollResult {
    /// Not decided yet.
    Waiting,
    /// The last poll was less than [`INTERVAL`] ago; how long to wait.
    TooSoon(Duration),
    /// Approved. The login is removed, unless it is [put back](Logins::put_back).
    Approved(Approval),
    /// Denied. The login is removed.
    Denied,
    /// The login does not exist, or no longer.
    Gone,
}

/// Why no login is found by a code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// No pending login has this code.
    Unknown,
    /// Too many wrong codes were tried; how long to wait.
    Wait(Duration),
}

/// Why a login cannot begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// This address has begun too many; how long to wait.
    Wait(Duration),
    /// Too many are pending.
    Full,
}

#[derive(Debug, Default)]
struct Table {
    /// By the hash of their nonce; the nonce itself is not stored.
    logins: HashMap<[u8; 32], Login>,
    /// The undecided ones, by their code.
    codes: HashMap<String, [u8; 32]>,
}

impl Table {
    fn drop_ended(&mut self, now: Duration) {
        self.logins.retain(|_, login| login.until > now);
        let logins = &self.logins;
        self.codes.retain(|_, nonce| logins.contains_key(nonce));
    }
}

/// The pending logins.
#[derive(Debug)]
pub(crate) struct Logins {
    table: Mutex<Table>,
    begun: RateLimiter<IpAddr>,
    wrong: RateLimiter<KeyId>,
}

impl Default for Logins {
    fn default() -> Self {
        let begun = RateLimiter::new(Some(BEGUN_PER_MINUTE));
        Self { table: Mutex::default(), begun, wrong: RateLimiter::new(Some(WRONG_PER_MINUTE)) }
    }
}

impl Logins {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a login for a program in this network. Returns its nonce and its code.
    pub(crate) fn begin(
        &self,
        asked: LoginRequest,
        network: IpAddr,
        now: Duration,
    ) -> Result<(Secret, String), Refused> {
        if let Some(wait) = self.begun.take(network, now).and_then(|left| left.wait) {
            return Err(Refused::Wait(wait));
        }
        let mut table = self.table();
        table.drop_ended(now);
        if table.logins.len() >= AT_MOST {
            return Err(Refused::Full);
        }
        let nonce = letters(NONCE_LENGTH);
        let code = std::iter::repeat_with(|| code(CODE_LENGTH))
            .find(|code| !table.codes.contains_key(code))
            .expect("the codes are far more than the logins");
        table.codes.insert(code.clone(), hash(&nonce));
        let login = Login { state: State::Waiting(asked), until: now + LIFE, next_poll: now };
        table.logins.insert(hash(&nonce), login);
        Ok((Secret::new(nonce), code))
    }

    /// What the login with this code asks for, and how long the code is still valid. Wrong codes are counted for this key.
    pub(crate) fn find(
        &self,
        typed: &str,
        by: KeyId,
        now: Duration,
    ) -> Result<(LoginRequest, Duration), LookupError> {
        let mut table = self.table();
        let (login, asked) = self.waiting(&mut table, &normal(typed), by, now)?;
        Ok((asked, login.until.saturating_sub(now)))
    }

    /// Decides on a login: `decide` gets what it asks for, and `None` denies it. The code is used up then; after an error the login stays pending.
    pub(crate) fn decide<E: From<LookupError>>(
        &self,
        typed: &str,
        by: KeyId,
        now: Duration,
        decide: impl FnOnce(&LoginRequest) -> Result<Option<Approval>, E>,
    ) -> Result<(), E> {
        let (mut table, code) = (self.table(), normal(typed));
        let (login, asked) = self.waiting(&mut table, &code, by, now)?;
        login.state = decide(&asked)?.map_or(State::Denied, State::Approved);
        table.codes.remove(&code);
        Ok(())
    }

    fn waiting<'a>(
        &self,
        table: &'a mut Table,
        code: &str,
        by: KeyId,
        now: Duration,
    ) -> Result<(&'a mut Login, LoginRequest), LookupError> {
        // Beyond the limit a right code is refused too, otherwise guessing could continue.
        if let Some(wait) = self.wrong.wait(&by, now) {
            return Err(LookupError::Wait(wait));
        }
        let nonce = table.codes.get(code).copied();
        let login = nonce.and_then(|nonce| table.logins.get_mut(&nonce));
        if let Some(login) = login.filter(|login| login.until > now)
            && let State::Waiting(asked) = &login.state
        {
            let asked = asked.clone();
            return Ok((login, asked));
        }
        self.wrong.take(by, now);
        Err(LookupError::Unknown)
    }

    /// The state of the login with this nonce.
    pub(crate) fn poll(&self, nonce: &str, now: Duration) -> PollResult {
        let (mut table, hash) = (self.table(), hash(nonce));
        let Some(login) = table.logins.get_mut(&hash).filter(|login| login.until > now) else {
            return PollResult::Gone;
        };
        let wait = login.next_poll.saturating_sub(now);
        if !wait.is_zero() {
            return PollResult::TooSoon(wait);
        }
        login.next_poll = now + INTERVAL;
        let polled = match &login.state {
            State::Waiting(_) => return PollResult::Waiting,
            State::Approved(approval) => PollResult::Approved(approval.clone()),
            State::Denied => PollResult::Denied,
        };
        table.logins.remove(&hash);
        polled
    }

    /// Lets the program poll again, if its key could not be created.
    pub(crate) fn put_back(&self, nonce: &str, approval: Approval, now: Duration) {
        let (until, next_poll) = (now + LIFE, now + INTERVAL);
        let login = Login { state: State::Approved(approval), until, next_poll };
        self.table().logins.insert(hash(nonce), login);
    }
}

/// The hash of a nonce. It differs from that of a session or a link with the same letters.
fn hash(nonce: &str) -> [u8; 32] {
    keys::hash(&format!("login {nonce}"))
}

/// Normalizes a code: people may type it in lower case, with or without the hyphen.
fn normal(typed: &str) -> String {
    let letters = typed.chars().filter(|letter| !letter.is_whitespace() && *letter != '-');
    letters.map(|letter| letter.to_ascii_uppercase()).collect()
}

/// Formats a code for people.
pub(crate) fn shown(code: &str) -> String {
    let (first, second) = code.split_at(code.len() / 2);
    format!("{first}-{second}")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use meetbot_types::Timestamp;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn asked() -> LoginRequest {
        LoginRequest {
            scope: Scope::Write,
            live: None,
            host: Some("laptop".to_owned()),
            address: HERE,
        }
    }

    fn key() -> KeyId {
        KeyId::generate(Timestamp::UNIX_EPOCH)
    }

    fn approval(key: KeyId) -> Approval {
        Approval { key, prefix: "mb_test_aaaaaaaa".to_owned(), scope: Scope::Read }
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn begin(logins: &Logins, now: Duration) -> (Secret, String) {
        logins.begin(asked(), HERE, now).unwrap()
    }

    fn approve(logins: &Logins, code: &str, by: KeyId, now: Duration) -> Result<(), LookupError> {
        logins.decide(code, by, now, |_| Ok(Some(approval(by))))
    }

    #[test]
    fn a_code_is_eight_consonants_in_any_case_and_grouping() {
        let (logins, by) = (Logins::default(), key());
        let (nonce, code) = begin(&logins, at(0));
        assert!(
            code.len() == 8 && code.chars().all(|letter| "BCDFGHJKLMNPQRSTVWXZ".contains(letter))
        );
        assert!(nonce.expose().len() == NONCE_LENGTH && !nonce.expose().contains(&code));
        let written = shown(&code);
        for typed in [code.clone(), written.clone(), written.to_lowercase(), format!(" {code} ")] {
            assert_eq!(
                logins.find(&typed, by, at(1)),
                Ok((asked(), LIFE.saturating_sub(at(1)))),
                "{typed}"
            );
        }
        assert_ne!(hash("x"), crate::sessions::hash_of_session("x"));
    }

    #[test]
    fn an_approved_login_and_its_code_work_once() {
        let (logins, by) = (Logins::default(), key());
        let (nonce, code) = begin(&logins, at(0));
        assert_eq!(logins.poll(nonce.expose(), at(1)), PollResult::Waiting);
        assert_eq!(approve(&logins, &code, by, at(2)), Ok(()));
        assert_eq!(approve(&logins, &code, by, at(2)), Err(LookupError::Unknown));
        assert_eq!(logins.find(&code, by, at(2)), Err(LookupError::Unknown));
        assert_eq!(logins.poll(nonce.expose(), at(3)), PollResult::Approved(approval(by)));
        assert_eq!(logins.poll(nonce.expose(), at(9)), PollResult::Gone);
        // The key could not be created: the program polls again.
        logins.put_back(nonce.expose(), approval(by), at(9));
        assert_eq!(logins.poll(nonce.expose(), at(11)), PollResult::Approved(approval(by)));
    }

    #[test]
    fn a_denied_login_is_removed_and_a_refused_decision_leaves_it_pending() {
        let (logins, by) = (Logins::default(), key());
        let (nonce, code) = begin(&logins, at(0));
        let refused = logins.decide(&code, by, at(1), |_| Err(LookupError::Wait(at(7))));
        assert_eq!(refused, Err(LookupError::Wait(at(7))));
        assert_eq!(logins.poll(nonce.expose(), at(1)), PollResult::Waiting);
        assert_eq!(logins.decide(&code, by, at(2), |_| Ok::<_, LookupError>(None)), Ok(()));
        assert_eq!(approve(&logins, &code, by, at(2)), Err(LookupError::Unknown));
        assert_eq!(logins.poll(nonce.expose(), at(3)), PollResult::Denied);
        assert_eq!(logins.poll(nonce.expose(), at(9)), PollResult::Gone);
    }

    #[test]
    fn after_ten_minutes_code_and_nonce_are_expired() {
        let (logins, by) = (Logins::default(), key());
        let (nonce, code) = begin(&logins, at(0));
        assert!(logins.find(&code, by, LIFE.saturating_sub(at(1))).is_ok());
        assert_eq!(approve(&logins, &code, by, LIFE), Err(LookupError::Unknown));
        assert_eq!(logins.poll(nonce.expose(), LIFE), PollResult::Gone);
        // An approved login that is not polled in time creates no key.
        let (nonce, code) = begin(&logins, LIFE);
        assert_eq!(approve(&logins, &code, by, LIFE + at(1)), Ok(()));
        assert_eq!(logins.poll(nonce.expose(), LIFE * 2), PollResult::Gone);
        begin(&logins, LIFE * 2);
        let table = logins.table();
        assert_eq!((table.logins.len(), table.codes.len()), (1, 1));
    }

    #[test]
    fn a_poll_that_is_too_early_gets_slow_down_and_the_login_stays() {
        let (logins, by) = (Logins::default(), key());
        let (nonce, code) = begin(&logins, at(0));
        let ms = Duration::from_millis;
        assert_eq!(logins.poll(nonce.expose(), ms(0)), PollResult::Waiting);
        assert_eq!(approve(&logins, &code, by, ms(100)), Ok(()));
        assert_eq!(logins.poll(nonce.expose(), ms(500)), PollResult::TooSoon(ms(1500)));
        assert_eq!(logins.poll(nonce.expose(), ms(1999)), PollResult::TooSoon(ms(1)));
        assert_eq!(logins.poll(nonce.expose(), ms(2000)), PollResult::Approved(approval(by)));
    }

    #[test]
    fn after_five_wrong_codes_in_a_minute_only_that_key_is_refused() {
        let (logins, guesser, other) = (Logins::default(), key(), key());
        let (_, code) = begin(&logins, at(0));
        for _ in 0..5 {
            assert_eq!(logins.find("BCDFGHJK", guesser, at(1)), Err(LookupError::Unknown));
        }
        let wait = LookupError::Wait(at(12));
        assert_eq!(logins.find(&code, guesser, at(1)), Err(wait));
        assert!(matches!(approve(&logins, &code, guesser, at(1)), Err(LookupError::Wait(_))));
        assert_eq!(approve(&logins, &code, other, at(1)), Ok(()));
        assert_eq!(logins.find("BCDFGHJK", guesser, at(14)), Err(LookupError::Unknown));
    }

    #[test]
    fn an_address_may_begin_ten_logins_in_a_minute_and_a_thousand_may_be_pending() {
        let logins = Logins::default();
        for _ in 0..10 {
            begin(&logins, at(0));
        }
        assert_eq!(logins.begin(asked(), HERE, at(0)).unwrap_err(), Refused::Wait(at(6)));
        for number in 10..u32::try_from(AT_MOST).unwrap() {
            let from = IpAddr::V4(Ipv4Addr::from_bits(number));
            logins.begin(asked(), from, at(1)).unwrap();
        }
        let from = IpAddr::V4(Ipv4Addr::from_bits(7));
        assert_eq!(logins.begin(asked(), from, at(2)).unwrap_err(), Refused::Full);
        assert!(logins.begin(asked(), from, LIFE + at(2)).is_ok());
    }
}
