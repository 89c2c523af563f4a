//! Logins of `meetbot login` that wait for their approval (a device flow after RFC 8628). The rules are pure and take `now`.
//!
//! They are kept in memory: anybody may begin one, and what anybody may ask for writes nothing into the store. A login that a restart of the server ends, in
//! the ten minutes that it has, is begun again. No key waits here either: it is made when the program that asked for it fetches it.

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
    limits::Allowance,
    store::Scope,
};

/// How long a code is good.
pub(crate) const LIFE: Duration = Duration::from_mins(10);
/// How long a program waits between two polls.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);
/// Letters of a code: 20 to the power of 8 are 2.6 · 10^10 codes.
const CODE_LENGTH: usize = 8;
/// Letters and digits of a nonce: more than 230 random bits.
const NONCE_LENGTH: usize = 40;
/// Logins that wait at the same time.
const AT_MOST: usize = 1000;
/// Logins that one address may begin in a minute.
const BEGUN_PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// Codes that nobody waits with, tried with one key in a minute.
const WRONG_PER_MINUTE: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// What a program asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) scope: Scope,
    /// For the live world or that of tests; `None`: that of the session which approves it.
    pub(crate) live: Option<bool>,
    pub(crate) host: Option<String>,
    pub(crate) address: IpAddr,
}

/// With whose rights a login was approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Approval {
    pub(crate) key: KeyId,
    /// The public part of that key, by which it is found.
    pub(crate) prefix: String,
    /// What the new key may do.
    pub(crate) scope: Scope,
}

#[derive(Debug)]
enum State {
    Waiting(Asked),
    Approved(Approval),
    Denied,
}

#[derive(Debug)]
struct Login {
    state: State,
    /// On the steady clock, as all times here.
    until: Duration,
    /// A poll before this moment is too early.
    next_poll: Duration,
}

/// What a poll finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    /// Nobody has decided.
    Waiting,
    /// The last poll was less than [`INTERVAL`] ago: wait for so long.
    TooSoon(Duration),
    /// Somebody approved it. It is over now, unless it is [put back](Logins::put_back).
    Approved(Approval),
    /// Somebody denied it. It is over now.
    Denied,
    /// There is no such login, or none any more.
    Gone,
}

/// Why a code leads to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoLogin {
    /// No login waits with this code.
    Unknown,
    /// Too many wrong codes were tried: wait for so long.
    Wait(Duration),
}

/// Why no login begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// This address has begun too many: wait for so long.
    Wait(Duration),
    /// Too many wait.
    Full,
}

#[derive(Debug, Default)]
struct Table {
    /// By the hash of their nonce, which is kept nowhere.
    logins: HashMap<[u8; 32], Login>,
    /// Those that nobody has decided on, by their code.
    codes: HashMap<String, [u8; 32]>,
}

impl Table {
    fn drop_ended(&mut self, now: Duration) {
        self.logins.retain(|_, login| login.until > now);
        let logins = &self.logins;
        self.codes.retain(|_, nonce| logins.contains_key(nonce));
    }
}

/// The logins that wait.
#[derive(Debug)]
pub(crate) struct Logins {
    table: Mutex<Table>,
    begun: Allowance<IpAddr>,
    wrong: Allowance<KeyId>,
}

impl Default for Logins {
    fn default() -> Self {
        let begun = Allowance::new(Some(BEGUN_PER_MINUTE));
        Self { table: Mutex::default(), begun, wrong: Allowance::new(Some(WRONG_PER_MINUTE)) }
    }
}

impl Logins {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a login for a program in this network; answers its nonce and its code.
    pub(crate) fn begin(
        &self,
        asked: Asked,
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

    /// What the login with this code asks for, and for how long the code is still good. A wrong code counts against this key.
    pub(crate) fn find(
        &self,
        typed: &str,
        by: KeyId,
        now: Duration,
    ) -> Result<(Asked, Duration), NoLogin> {
        let mut table = self.table();
        let (login, asked) = self.waiting(&mut table, &normal(typed), by, now)?;
        Ok((asked, login.until.saturating_sub(now)))
    }

    /// Decides on a login by what it asks for: `None` denies it. Its code is used up then; an error leaves it as it is.
    pub(crate) fn decide<E: From<NoLogin>>(
        &self,
        typed: &str,
        by: KeyId,
        now: Duration,
        decide: impl FnOnce(&Asked) -> Result<Option<Approval>, E>,
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
    ) -> Result<(&'a mut Login, Asked), NoLogin> {
        // Beyond the limit a right code is not taken either, or guessing would go on.
        if let Some(wait) = self.wrong.wait(&by, now) {
            return Err(NoLogin::Wait(wait));
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
        Err(NoLogin::Unknown)
    }

    /// What has become of the login with this nonce.
    pub(crate) fn poll(&self, nonce: &str, now: Duration) -> Polled {
        let (mut table, hash) = (self.table(), hash(nonce));
        let Some(login) = table.logins.get_mut(&hash).filter(|login| login.until > now) else {
            return Polled::Gone;
        };
        let wait = login.next_poll.saturating_sub(now);
        if !wait.is_zero() {
            return Polled::TooSoon(wait);
        }
        login.next_poll = now + INTERVAL;
        let polled = match &login.state {
            State::Waiting(_) => return Polled::Waiting,
            State::Approved(approval) => Polled::Approved(approval.clone()),
            State::Denied => Polled::Denied,
        };
        table.logins.remove(&hash);
        polled
    }

    /// Lets the program poll once more, where its key could not be made.
    pub(crate) fn put_back(&self, nonce: &str, approval: Approval, now: Duration) {
        let (until, next_poll) = (now + LIFE, now + INTERVAL);
        let login = Login { state: State::Approved(approval), until, next_poll };
        self.table().logins.insert(hash(nonce), login);
    }
}

/// What is kept of a nonce: another hash than that of a session or a link with the same letters.
fn hash(nonce: &str) -> [u8; 32] {
    keys::hash(&format!("login {nonce}"))
}

/// A code as it is kept: people type it in small letters, with the hyphen that is shown in it or without.
fn normal(typed: &str) -> String {
    let letters = typed.chars().filter(|letter| !letter.is_whitespace() && *letter != '-');
    letters.map(|letter| letter.to_ascii_uppercase()).collect()
}

/// A code as people read it.
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

    fn asked() -> Asked {
        Asked { scope: Scope::Write, live: None, host: Some("laptop".to_owned()), address: HERE }
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

    fn approve(logins: &Logins, code: &str, by: KeyId, now: Duration) -> Result<(), NoLogin> {
        logins.decide(code, by, now, |_| Ok(Some(approval(by))))
    }

    #[test]
    fn a_code_is_eight_consonants_and_is_read_however_it_is_typed() {
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
    fn an_approved_login_is_good_once_and_so_is_its_code() {
        let (logins, by) = (Logins::default(), key());
        let (nonce, code) = begin(&logins, at(0));
        assert_eq!(logins.poll(nonce.expose(), at(1)), Polled::Waiting);
        assert_eq!(approve(&logins, &code, by, at(2)), Ok(()));
        assert_eq!(approve(&logins, &code, by, at(2)), Err(NoLogin::Unknown));
        assert_eq!(logins.find(&code, by, at(2)), Err(NoLogin::Unknown));
        assert_eq!(logins.poll(nonce.expose(), at(3)), Polled::Approved(approval(by)));
        assert_eq!(logins.poll(nonce.expose(), at(9)), Polled::Gone);
        // The key could not be made: it is asked for again.
        logins.put_back(nonce.expose(), approval(by), at(9));
        assert_eq!(logins.poll(nonce.expose(), at(11)), Polled::Approved(approval(by)));
    }

    #[test]
    fn a_denied_login_is_over_and_a_refused_decision_leaves_it_waiting() {
        let (logins, by) = (Logins::default(), key());
        let (nonce, code) = begin(&logins, at(0));
        let refused = logins.decide(&code, by, at(1), |_| Err(NoLogin::Wait(at(7))));
        assert_eq!(refused, Err(NoLogin::Wait(at(7))));
        assert_eq!(logins.poll(nonce.expose(), at(1)), Polled::Waiting);
        assert_eq!(logins.decide(&code, by, at(2), |_| Ok::<_, NoLogin>(None)), Ok(()));
        assert_eq!(approve(&logins, &code, by, at(2)), Err(NoLogin::Unknown));
        assert_eq!(logins.poll(nonce.expose(), at(3)), Polled::Denied);
        assert_eq!(logins.poll(nonce.expose(), at(9)), Polled::Gone);
    }

    #[test]
    fn after_ten_minutes_neither_the_code_nor_the_nonce_is_good() {
        let (logins, by) = (Logins::default(), key());
        let (nonce, code) = begin(&logins, at(0));
        assert!(logins.find(&code, by, LIFE.saturating_sub(at(1))).is_ok());
        assert_eq!(approve(&logins, &code, by, LIFE), Err(NoLogin::Unknown));
        assert_eq!(logins.poll(nonce.expose(), LIFE), Polled::Gone);
        // One that was approved and not fetched in time makes no key.
        let (nonce, code) = begin(&logins, LIFE);
        assert_eq!(approve(&logins, &code, by, LIFE + at(1)), Ok(()));
        assert_eq!(logins.poll(nonce.expose(), LIFE * 2), Polled::Gone);
        begin(&logins, LIFE * 2);
        let table = logins.table();
        assert_eq!((table.logins.len(), table.codes.len()), (1, 1));
    }

    #[test]
    fn who_polls_too_fast_is_told_to_slow_down_and_loses_nothing() {
        let (logins, by) = (Logins::default(), key());
        let (nonce, code) = begin(&logins, at(0));
        let ms = Duration::from_millis;
        assert_eq!(logins.poll(nonce.expose(), ms(0)), Polled::Waiting);
        assert_eq!(approve(&logins, &code, by, ms(100)), Ok(()));
        assert_eq!(logins.poll(nonce.expose(), ms(500)), Polled::TooSoon(ms(1500)));
        assert_eq!(logins.poll(nonce.expose(), ms(1999)), Polled::TooSoon(ms(1)));
        assert_eq!(logins.poll(nonce.expose(), ms(2000)), Polled::Approved(approval(by)));
    }

    #[test]
    fn five_wrong_codes_in_a_minute_end_the_guessing_of_one_key_alone() {
        let (logins, guesser, other) = (Logins::default(), key(), key());
        let (_, code) = begin(&logins, at(0));
        for _ in 0..5 {
            assert_eq!(logins.find("BCDFGHJK", guesser, at(1)), Err(NoLogin::Unknown));
        }
        let wait = NoLogin::Wait(at(12));
        assert_eq!(logins.find(&code, guesser, at(1)), Err(wait));
        assert!(matches!(approve(&logins, &code, guesser, at(1)), Err(NoLogin::Wait(_))));
        assert_eq!(approve(&logins, &code, other, at(1)), Ok(()));
        assert_eq!(logins.find("BCDFGHJK", guesser, at(14)), Err(NoLogin::Unknown));
    }

    #[test]
    fn one_address_begins_ten_logins_in_a_minute_and_all_of_them_a_thousand() {
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
