//! Join tokens: made, listed, and kept without their secrets.

use std::num::NonZeroU32;
use std::time::Duration;

use headwater_certs::UnixTime;
use headwater_certs::name::Pin;
use headwater_certs::token::{
    Address, AddressError, JoinToken, MintError, TokenGrant, TokenRecord,
};

use super::audit::{Deed, note};
use super::tables::{TOKENS, parse, row};
use super::{Actor, Registry, RegistryError};

/// What a token offers.
#[derive(Clone, Debug)]
pub struct TokenOffer {
    /// Where devices enrol, in the order to try.
    pub addresses: Vec<Address>,
    /// The root that they accept.
    pub pin: Pin,
    /// What people call this fleet.
    pub name: String,
    /// How many devices may join.
    pub uses: NonZeroU32,
    /// For how long.
    pub life: Duration,
    /// The group that they join. `None` if they join none.
    pub group: Option<String>,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// An address is none.
    #[error("make a token for {text:?}")]
    Address {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: AddressError,
    },
    /// It can't be put together.
    #[error("make a token")]
    Mint(#[source] MintError),
    /// There is none of this id.
    #[error("revoke token {0}: there is no such token")]
    Unknown(String),
    /// It can't be stored.
    #[error("change a token")]
    Store(#[source] RegistryError),
    /// The node is stopping.
    #[error("change a token: the node is stopping")]
    Stopping,
}

impl Registry {
    /// Makes a token and keeps its record.
    ///
    /// # Errors
    /// If it can't be put together or stored.
    pub fn create_token(&self, offer: TokenOffer, actor: &Actor) -> Result<JoinToken, TokenError> {
        let TokenOffer { addresses, pin, name, uses, life, group } = offer;
        let token = JoinToken::mint(addresses, vec![pin], name).map_err(TokenError::Mint)?;
        let grant = TokenGrant { uses, lifetime: life, creator: actor.name.clone(), group };
        let detail = format!("uses {uses}, life {} s, group {:?}", life.as_secs(), grant.group);
        let record = TokenRecord::new(&token, grant, time(actor.at_us));
        let stored = self.write("store a token", |transaction| {
            let id = token.id().to_bytes();
            transaction.open_table(TOKENS)?.insert(id.as_slice(), row(&record).as_slice())?;
            let subject = token.id().to_string();
            note(transaction, actor, Deed { action: "token created", subject, detail })
        });
        stored.map_err(TokenError::Store)?;
        Ok(token)
    }

    /// Takes the uses that are left off a token. `false` if there were none.
    ///
    /// # Errors
    /// If there is no such token, or it can't be stored.
    pub fn revoke_token(&self, id: &str, actor: &Actor) -> Result<bool, TokenError> {
        let tokens = self.tokens().map_err(TokenError::Store)?;
        let token = tokens.into_iter().find(|token| token.id.to_string() == id);
        let token = token.ok_or_else(|| TokenError::Unknown(id.to_owned()))?;
        let key = token.id.to_bytes();
        let revoked = self.write("revoke a token", |transaction| {
            let mut table = transaction.open_table(TOKENS)?;
            let found = redb::ReadableTable::get(&table, key.as_slice())?;
            let Some(found) = found.map(|token| token.value().to_vec()) else { return Ok(false) };
            let mut token: TokenRecord = parse(&found)?;
            let left = std::mem::take(&mut token.uses_left);
            table.insert(key.as_slice(), row(&token).as_slice())?;
            let (subject, detail) = (token.id.to_string(), format!("uses left {left}"));
            note(transaction, actor, Deed { action: "token revoked", subject, detail })?;
            Ok(left > 0)
        });
        revoked.map_err(TokenError::Store)
    }

    /// Every token that was ever made, the newest first.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn tokens(&self) -> Result<Vec<TokenRecord>, RegistryError> {
        let mut tokens: Vec<TokenRecord> = self.read("read tokens", |transaction| {
            let table = transaction.open_table(TOKENS)?;
            let rows = redb::ReadableTable::iter(&table)?;
            rows.map(|row| parse(row?.1.value())).collect()
        })?;
        tokens.sort_by_key(|token| std::cmp::Reverse(token.created_unix_s));
        Ok(tokens)
    }
}

/// A moment as certificates count it.
pub(super) fn time(at_us: i64) -> UnixTime {
    let micros = u64::try_from(at_us).unwrap_or_default();
    UnixTime::since_unix_epoch(Duration::from_micros(micros))
}
