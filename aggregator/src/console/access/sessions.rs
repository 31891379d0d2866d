//! One-time codes and sessions. Secrets are held as hashes; comparing hashes takes the same time
//! wherever they differ.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::wall_us;
use crate::node::NodeHandle;
use crate::registry::SessionRecord;

/// How long a one-time link can be used.
pub(crate) const CODE_LIFE: Duration = Duration::from_secs(15 * 60);
/// Links that wait for their use. The oldest makes room: whoever asks can ask again.
const CODES_MAX: usize = 16;
/// Sessions at once: two browsers for each of some dozen people on one host. The one that was not used
/// for the longest time makes room.
const SESSIONS_MAX: usize = 64;
/// A session that is not used is over after so long. Source: SECURITY page, section 8.
const IDLE_US: i64 = 30 * 60 * 1_000_000;
/// A session is over after so long, however much it is used.
const LIFE_US: i64 = 12 * 3_600 * 1_000_000;
/// A use is written down once in so long: a commit per request would be an fsync per request.
const WRITTEN_EVERY_US: i64 = 60 * 1_000_000;

/// The right of one request.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// What forms of this session carry: made of the cookie, which no other site can read.
    pub(crate) token: String,
    pub(super) hash: [u8; 32],
}

/// Codes and sessions.
#[derive(Debug)]
pub(crate) struct Access {
    node: NodeHandle,
    /// Shared by all requests; each looks up or changes one entry and never waits while it does.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    codes: Vec<(blake3::Hash, Instant)>,
    sessions: BTreeMap<[u8; 32], Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    record: SessionRecord,
    written_us: i64,
}

impl Access {
    /// With the sessions that were kept.
    pub(crate) async fn open(node: NodeHandle) -> Self {
        let kept = node.sessions().await.into_iter();
        let known = |record: SessionRecord| Known { record, written_us: record.used_us };
        let sessions = kept.map(|(hash, record)| (hash, known(record))).collect();
        Self { node, held: Mutex::new(Held { codes: Vec::new(), sessions }) }
    }

    /// A code that opens one session.
    pub(crate) fn create_code(&self) -> Result<String, getrandom::Error> {
        let code = secret()?;
        self.held().add_code(blake3::hash(code.as_bytes()), Instant::now());
        Ok(code)
    }

    /// Uses up a code. The cookie of a new session if it was good.
    pub(crate) async fn redeem(&self, code: &str) -> Result<Option<String>, getrandom::Error> {
        let cookie = secret()?;
        let hash = *blake3::hash(cookie.as_bytes()).as_bytes();
        let now_us = wall_us();
        let record = SessionRecord { began_us: now_us, used_us: now_us };
        let over = {
            let mut held = self.held();
            if !held.take_code(&blake3::hash(code.as_bytes()), Instant::now()) {
                return Ok(None);
            }
            held.add_session(hash, record)
        };
        self.node.keep_session(hash, record, over).await;
        Ok(Some(cookie))
    }

    /// The session of a cookie. `None` if there is none or it is over.
    pub(crate) async fn session(&self, cookie: &str) -> Option<Session> {
        let hash = *blake3::hash(cookie.as_bytes()).as_bytes();
        let used = self.held().use_session(&hash, wall_us())?;
        if let Some(record) = used {
            self.node.keep_session(hash, record, Vec::new()).await;
        }
        let token = blake3::derive_key("headwater console 2026 token of forms", cookie.as_bytes());
        Some(Session { token: URL_SAFE_NO_PAD.encode(token), hash })
    }

    /// Ends a session.
    pub(crate) async fn end(&self, session: &Session) {
        self.held().sessions.remove(&session.hash);
        self.node.end_session(session.hash).await;
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().expect("nobody panics while holding the sessions")
    }
}

impl Session {
    /// Whether a form carries this session's token.
    pub(crate) fn is_of(&self, token: &str) -> bool {
        blake3::hash(token.as_bytes()) == blake3::hash(self.token.as_bytes())
    }
}

impl Held {
    fn add_code(&mut self, hash: blake3::Hash, now: Instant) {
        self.codes.retain(|(_, until)| *until > now);
        if self.codes.len() == CODES_MAX {
            self.codes.remove(0);
        }
        self.codes.push((hash, now + CODE_LIFE));
    }

    fn take_code(&mut self, hash: &blake3::Hash, now: Instant) -> bool {
        self.codes.retain(|(_, until)| *until > now);
        let before = self.codes.len();
        self.codes.retain(|(known, _)| known != hash);
        self.codes.len() < before
    }

    /// Adds a session, and says which ones are over by it.
    fn add_session(&mut self, hash: [u8; 32], record: SessionRecord) -> Vec<[u8; 32]> {
        let now_us = record.used_us;
        let ended = self.sessions.iter().filter(|(_, known)| is_over(known.record, now_us));
        let mut over: Vec<[u8; 32]> = ended.map(|(hash, _)| *hash).collect();
        for hash in &over {
            self.sessions.remove(hash);
        }
        if self.sessions.len() >= SESSIONS_MAX {
            let oldest = self.sessions.iter().min_by_key(|(_, known)| known.record.used_us);
            let oldest = oldest.map(|(hash, _)| *hash);
            if let Some(oldest) = oldest {
                self.sessions.remove(&oldest);
                over.push(oldest);
            }
        }
        self.sessions.insert(hash, Known { record, written_us: now_us });
        over
    }

    /// Notes a use. `None` if there is no such session; the record if it is due to be written down.
    fn use_session(&mut self, hash: &[u8; 32], now_us: i64) -> Option<Option<SessionRecord>> {
        let known = self.sessions.get_mut(hash)?;
        if is_over(known.record, now_us) {
            self.sessions.remove(hash);
            return None;
        }
        known.record.used_us = now_us;
        let due = now_us - known.written_us >= WRITTEN_EVERY_US;
        if due {
            known.written_us = now_us;
        }
        Some(due.then_some(known.record))
    }
}

/// A clock that was set back makes a session neither older nor younger than it may be.
fn is_over(record: SessionRecord, now_us: i64) -> bool {
    let idle = now_us.saturating_sub(record.used_us);
    let life = now_us.saturating_sub(record.began_us);
    idle > IDLE_US || !(-WRITTEN_EVERY_US..=LIFE_US).contains(&life)
}

/// 256 random bits.
fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: usize) -> [u8; 32] {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    fn record(at_us: i64) -> SessionRecord {
        SessionRecord { began_us: at_us, used_us: at_us }
    }

    #[test]
    fn a_code_is_good_once_and_for_a_quarter_of_an_hour() {
        let (mut held, now) = (Held::default(), Instant::now());
        let (one, two) = (blake3::hash(b"one"), blake3::hash(b"two"));
        held.add_code(one, now);
        assert!(!held.take_code(&two, now), "a code that was never made");
        assert!(held.take_code(&one, now));
        assert!(!held.take_code(&one, now), "a code that was used");
        held.add_code(two, now);
        assert!(!held.take_code(&two, now + CODE_LIFE), "a code that is over");
    }

    #[test]
    fn codes_and_sessions_are_bounded_and_the_oldest_makes_room() {
        let (mut held, now) = (Held::default(), Instant::now());
        for number in 0..=CODES_MAX {
            held.add_code(blake3::hash(&number.to_le_bytes()), now);
        }
        assert_eq!(held.codes.len(), CODES_MAX);
        assert!(!held.take_code(&blake3::hash(&0_usize.to_le_bytes()), now));
        for number in 0..SESSIONS_MAX {
            assert_eq!(held.add_session(hash(number), record(1 + number as i64)), [[0; 32]; 0]);
        }
        assert_eq!(held.add_session(hash(SESSIONS_MAX), record(1_000)), [hash(0)]);
        assert_eq!(held.sessions.len(), SESSIONS_MAX);
    }

    #[test]
    fn a_session_ends_when_it_is_idle_and_after_half_a_day() {
        let mut held = Held::default();
        held.add_session(hash(1), record(0));
        assert_eq!(held.use_session(&hash(1), 1), Some(None));
        let written = held.use_session(&hash(1), WRITTEN_EVERY_US);
        assert!(matches!(written, Some(Some(record)) if record.used_us == WRITTEN_EVERY_US));
        assert_eq!(held.use_session(&hash(1), WRITTEN_EVERY_US + IDLE_US + 1), None);
        held.add_session(hash(2), record(0));
        let mut now_us = 0;
        while now_us <= LIFE_US {
            assert!(held.use_session(&hash(2), now_us).is_some());
            now_us += IDLE_US;
        }
        assert_eq!(held.use_session(&hash(2), now_us), None);
        assert_eq!(held.use_session(&hash(3), 0), None);
    }

    #[test]
    fn a_session_of_the_future_is_none() {
        let mut held = Held::default();
        held.add_session(hash(1), record(LIFE_US));
        assert_eq!(held.use_session(&hash(1), 0), None, "the clock was set back by half a day");
    }
}
