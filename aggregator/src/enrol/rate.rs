//! How often strangers may try, per minute.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::limits::{ENROL_ADDRESSES_MAX, ENROL_TRIES, ENROL_TRIES_PER_ADDRESS};

const MINUTE: Duration = Duration::from_secs(60);

/// Tries of the present minute.
///
/// Shared by all enrolments: each adds one and asks, which a message would only delay.
#[derive(Debug, Default)]
pub(super) struct Rate(Mutex<Tries>);

#[derive(Debug, Default)]
struct Tries {
    since: Option<Instant>,
    all: u32,
    by_address: BTreeMap<IpAddr, u32>,
}

impl Rate {
    /// Counts a try, and says whether it is within the limits.
    pub(super) fn allows(&self, address: IpAddr, now: Instant) -> bool {
        let mut tries = self.0.lock().expect("nobody panics while holding a few counts");
        if tries.since.is_none_or(|since| now.duration_since(since) >= MINUTE) {
            *tries = Tries { since: Some(now), ..Tries::default() };
        }
        tries.all += 1;
        if tries.all > ENROL_TRIES || tries.by_address.len() >= ENROL_ADDRESSES_MAX {
            return false;
        }
        let own = tries.by_address.entry(network(address)).or_default();
        *own += 1;
        *own <= ENROL_TRIES_PER_ADDRESS
    }
}

/// What one stranger has for the asking: an IPv4 address, or 2^64 IPv6 addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_can_not_use_up_the_tries_of_another() {
        let (rate, now) = (Rate::default(), Instant::now());
        let [one, other] = ["2001:db8::1", "192.0.2.1"].map(|it| it.parse::<IpAddr>().unwrap());
        let allowed = (0..100).filter(|_| rate.allows(one, now)).count();
        assert_eq!(allowed, 30);
        let sibling = "2001:db8::2".parse().unwrap();
        assert!(!rate.allows(sibling, now), "the whole network counts as one");
        assert!(rate.allows(other, now));
        assert!(rate.allows(one, now + MINUTE), "the next minute begins at zero");
    }

    #[test]
    fn all_addresses_together_have_a_limit() {
        let (rate, now) = (Rate::default(), Instant::now());
        let address = |number: u32| IpAddr::V4((0x0a00_0000 + number).into());
        let allowed = (0..2000).filter(|number| rate.allows(address(*number), now)).count();
        assert_eq!(allowed, 600);
    }
}
