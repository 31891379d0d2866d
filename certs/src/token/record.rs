//! What the aggregator keeps of a token.

use std::num::NonZeroU32;
use std::time::Duration;

use rustls_pki_types::UnixTime;
use serde::{Deserialize, Serialize};

use super::{JoinToken, Secret, TokenId};

/// The state of a token on the aggregator: uses, tries and expiry. It holds the hash of the secret,
/// not the secret.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TokenRecord {
    /// Name of the token.
    pub id: TokenId,
    #[serde(with = "crate::bytes")]
    secret_hash: [u8; 32],
    /// How many more devices may join. Zero once it is used up.
    pub uses_left: u32,
    /// Wrong secrets that were shown. At [`TRIES_MAX`] the token is locked for good.
    pub wrong_tries: u8,
    /// Last second at which it can be used.
    pub expires_unix_s: u64,
    /// When it was made.
    pub created_unix_s: u64,
    /// Who made it, as the audit names users.
    pub creator: String,
    /// Group that its devices join. `None` if they join none.
    pub group: Option<String>,
}

/// What a token allows.
#[derive(Clone, Debug)]
pub struct TokenGrant {
    /// How many devices may join. 1 unless somebody asked for more.
    pub uses: NonZeroU32,
    /// How long from now. 24 h unless somebody asked for another time.
    pub lifetime: Duration,
    /// Who makes it, as the audit names users.
    pub creator: String,
    /// Group that its devices join. `None` if they join none.
    pub group: Option<String>,
}

impl TokenRecord {
    /// Makes the record of a token that was minted at `now`.
    #[must_use]
    pub fn new(token: &JoinToken, grant: TokenGrant, now: UnixTime) -> Self {
        Self {
            id: token.id(),
            secret_hash: token.secret().hash(),
            uses_left: grant.uses.get(),
            wrong_tries: 0,
            expires_unix_s: now.as_secs().saturating_add(grant.lifetime.as_secs()),
            created_unix_s: now.as_secs(),
            creator: grant.creator,
            group: grant.group,
        }
    }

    /// Takes one use off the token, or says why not.
    ///
    /// The caller stores the record in either case, in the same commit as what it did with the
    /// answer: a wrong secret counts as well. State is revealed only to those who know the secret.
    ///
    /// # Errors
    /// The secret is wrong, or the token is locked, expired or used up. Nothing is taken off in any
    /// of these cases.
    pub fn redeem(&mut self, secret: &Secret, now: UnixTime) -> Result<(), RedeemError> {
        if self.wrong_tries >= TRIES_MAX {
            return Err(RedeemError::LockedOut);
        }
        if !secret.matches(&self.secret_hash) {
            self.wrong_tries += 1;
            return Err(RedeemError::UnknownSecret);
        }
        if now.as_secs() > self.expires_unix_s {
            let ago = Duration::from_secs(now.as_secs() - self.expires_unix_s);
            return Err(RedeemError::Expired { ago });
        }
        self.uses_left = self.uses_left.checked_sub(1).ok_or(RedeemError::Used)?;
        Ok(())
    }
}

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RedeemError {
    /// The secret is not that of this token. Counted.
    #[error(
        "redeem join token: its secret is not known here; make another with: headwater tokens create"
    )]
    UnknownSecret,
    /// All its uses are taken.
    #[error("redeem join token: it was used already; make another with: headwater tokens create")]
    Used,
    /// Its time is over.
    #[error("redeem join token: it expired {} s ago; make another with: headwater tokens create", ago.as_secs())]
    Expired {
        /// How long ago.
        ago: Duration,
    },
    /// Wrong secrets were shown too often, so the right one is refused as well.
    #[error(
        "redeem join token: it is locked after 5 wrong secrets; make another with: headwater tokens create"
    )]
    LockedOut,
}

/// Wrong secrets until a token is locked. Source: SECURITY.md, section 3.
pub const TRIES_MAX: u8 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Pin;

    #[test]
    fn a_token_for_one_device_has_one_winner() {
        let (token, mut record) = token(1);
        assert_eq!(record.redeem(token.secret(), at(0)), Ok(()));
        for second in 1..10 {
            assert_eq!(record.redeem(token.secret(), at(second)), Err(RedeemError::Used));
        }
    }

    #[test]
    fn a_token_for_three_devices_has_three_winners() {
        let (token, mut record) = token(3);
        let won = (0..10).filter(|_| record.redeem(token.secret(), at(0)).is_ok()).count();
        assert_eq!(won, 3);
        assert_eq!(record.uses_left, 0);
    }

    #[test]
    fn a_token_expires_after_its_last_second() {
        let (token, record) = token(1);
        assert_eq!(record.clone().redeem(token.secret(), at(86_400)), Ok(()));
        let mut late = record.clone();
        let ago = Duration::from_secs(1);
        assert_eq!(late.redeem(token.secret(), at(86_401)), Err(RedeemError::Expired { ago }));
        assert_eq!(late, record, "nothing is taken off an expired token");
    }

    #[test]
    fn the_fifth_wrong_secret_locks_the_token_for_its_owner_as_well() {
        let (token, mut record) = token(1);
        let wrong = Secret::from_bytes([0; 16]);
        for _ in 0..5 {
            assert_eq!(record.redeem(&wrong, at(0)), Err(RedeemError::UnknownSecret));
        }
        assert_eq!(record.redeem(token.secret(), at(0)), Err(RedeemError::LockedOut));
        assert_eq!(record.redeem(&wrong, at(0)), Err(RedeemError::LockedOut));
        assert_eq!(record.uses_left, 1);
    }

    #[test]
    fn a_stranger_learns_nothing_about_a_token_that_is_used_or_expired() {
        let (token, mut record) = token(1);
        record.redeem(token.secret(), at(0)).unwrap();
        let wrong = Secret::from_bytes([0; 16]);
        assert_eq!(record.redeem(&wrong, at(0)), Err(RedeemError::UnknownSecret));
        assert_eq!(record.redeem(&wrong, at(90_000)), Err(RedeemError::UnknownSecret));
    }

    #[test]
    fn every_single_wrong_bit_is_a_wrong_secret() {
        let (token, record) = token(1);
        for bit in 0..128 {
            let mut bytes = *token.secret().as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let answer = record.clone().redeem(&Secret::from_bytes(bytes), at(0));
            assert_eq!(answer, Err(RedeemError::UnknownSecret), "bit {bit}");
        }
    }

    #[test]
    fn a_record_reads_back_from_storage_and_holds_no_secret() {
        let (token, record) = token(1);
        for stored in
            [rmp_serde::to_vec(&record).unwrap(), rmp_serde::to_vec_named(&record).unwrap()]
        {
            assert_eq!(rmp_serde::from_slice::<TokenRecord>(&stored).unwrap(), record);
            let secret = token.secret().as_bytes();
            assert!(!stored.windows(16).any(|window| window == secret));
        }
    }

    fn token(uses: u32) -> (JoinToken, TokenRecord) {
        let pins = vec![Pin::of_public_key(b"root")];
        let token = JoinToken::mint(vec!["a:1".parse().unwrap()], pins, String::new()).unwrap();
        let grant = TokenGrant {
            uses: NonZeroU32::new(uses).unwrap(),
            lifetime: Duration::from_secs(86_400),
            creator: "admin".to_owned(),
            group: None,
        };
        let record = TokenRecord::new(&token, grant, at(0));
        (token, record)
    }

    fn at(second: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000 + second))
    }
}
