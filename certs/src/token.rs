//! Join tokens: how a device finds its authority and proves that it was invited.
//!
//! The text is `hwe1.<what to expect>.<secret>`, both parts base64url without padding. What to
//! expect is MessagePack of addresses, pins, name and id, in this order. The aggregator stores a
//! [`TokenRecord`], from which no token can be made.

mod address;
mod record;
mod secret;
mod text;

pub use address::{Address, AddressError};
pub use record::{RedeemError, TRIES_MAX, TokenGrant, TokenRecord};
pub use secret::{Secret, TokenId};
pub use text::{JoinToken, MintError, TokenError, TokenPart};
