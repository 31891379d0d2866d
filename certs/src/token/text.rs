//! The token as an operator copies it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{Address, Secret, TokenId};
use crate::name::Pin;

/// An invitation for one device, or for as many as its record allows. `Debug` does not show the
/// secret.
#[derive(Clone, Debug)]
pub struct JoinToken {
    invitation: Invitation,
    secret: Secret,
}

/// The readable part, in the order it is written.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Invitation {
    addresses: Vec<Address>,
    pins: Vec<Pin>,
    name: String,
    id: TokenId,
}

impl JoinToken {
    /// Makes a token with a random id and a random secret.
    ///
    /// `addresses` are tried in their order; `pins` are the roots that are accepted, several during
    /// a change of roots; `name` is what people call this fleet, shown before a device joins.
    ///
    /// # Errors
    /// A list is empty or too long, the name is too long, or the operating system has no randomness
    /// to give.
    pub fn mint(addresses: Vec<Address>, pins: Vec<Pin>, name: String) -> Result<Self, MintError> {
        let (mut id, mut secret) = ([0; 16], [0; 16]);
        getrandom::fill(&mut id)
            .and_then(|()| getrandom::fill(&mut secret))
            .map_err(|source| MintError::Random { source })?;
        let invitation = Invitation { addresses, pins, name, id: TokenId::from_bytes(id) };
        check(&invitation).map_err(|source| MintError::Content { source })?;
        Ok(Self { invitation, secret: Secret::from_bytes(secret) })
    }

    /// Reads a token. Blanks and line ends around it are ignored, since it was pasted.
    ///
    /// # Errors
    /// It is no join token, or was damaged on the way; the error says where.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(TokenError::TooLong { bytes: text.len() });
        }
        if text.starts_with(API_TOKEN_PREFIX) {
            return Err(TokenError::ApiToken);
        }
        let mut parts = text.split('.');
        if parts.next() != Some(PREFIX) {
            return Err(TokenError::Prefix);
        }
        let (Some(invitation), Some(secret), None) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Parts { count: text.split('.').count() });
        };
        let invitation = base64url(invitation, TokenPart::Invitation)?;
        let secret = base64url(secret, TokenPart::Secret)?;
        let secret = <[u8; 16]>::try_from(secret.as_slice())
            .map_err(|_| TokenError::SecretLength { bytes: secret.len() })?;

        let mut rest = invitation.as_slice();
        let mut reader = rmp_serde::Deserializer::new(&mut rest);
        reader.set_max_depth(NESTING_MAX);
        let invitation = Invitation::deserialize(&mut reader)
            .map_err(|source| TokenError::Invitation { source })?;
        if !rest.is_empty() {
            return Err(TokenError::TrailingBytes { bytes: rest.len() });
        }
        check(&invitation)?;
        Ok(Self { invitation, secret: Secret::from_bytes(secret) })
    }

    /// Returns the text, secret included. It is shown once and never stored; there is no `Display`,
    /// so that it cannot slip into a log.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut invitation = Vec::new();
        let mut writer = rmp_serde::Serializer::new(&mut invitation);
        self.invitation
            .serialize(&mut writer)
            .expect("strings and bytes in memory always have a MessagePack form");
        let invitation = URL_SAFE_NO_PAD.encode(invitation);
        let secret = URL_SAFE_NO_PAD.encode(self.secret.as_bytes());
        format!("{PREFIX}.{invitation}.{secret}")
    }

    /// Returns where to enrol, in the order to try. There is at least one address.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.invitation.addresses
    }

    /// Returns the roots to accept. There is at least one.
    #[must_use]
    pub fn pins(&self) -> &[Pin] {
        &self.invitation.pins
    }

    /// Returns what people call this fleet. Empty if nobody named it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.invitation.name
    }

    /// Returns the name of the token, which may be logged.
    #[must_use]
    pub const fn id(&self) -> TokenId {
        self.invitation.id
    }

    /// Returns the secret, to be sent inside a pinned session only.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }
}

fn base64url(text: &str, part: TokenPart) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|source| TokenError::Base64 { part, source })
}

fn check(invitation: &Invitation) -> Result<(), TokenError> {
    let (addresses, pins) = (invitation.addresses.len(), invitation.pins.len());
    if !(1..=ADDRESSES_MAX).contains(&addresses) {
        return Err(TokenError::Addresses { count: addresses });
    }
    if !(1..=PINS_MAX).contains(&pins) {
        return Err(TokenError::Pins { count: pins });
    }
    if invitation.name.len() > NAME_BYTES_MAX || invitation.name.chars().any(char::is_control) {
        return Err(TokenError::Name);
    }
    Ok(())
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The operating system has no randomness to give.
    #[error("make join token: draw secret")]
    Random {
        /// What it said.
        source: getrandom::Error,
    },
    /// Nobody could use such a token.
    #[error("make join token")]
    Content {
        /// What is wrong with it.
        source: TokenError,
    },
}

/// A part of the text of a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenPart {
    /// The second part: addresses, pins, name and id.
    Invitation,
    /// The third part.
    Secret,
}

impl std::fmt::Display for TokenPart {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Invitation => "second part",
            Self::Secret => "third part",
        })
    }
}

/// Why a text is not a join token. No variant holds a piece of the text, since it may be the
/// secret.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Nothing but blanks.
    #[error("read join token: it is empty")]
    Empty,
    /// Too long to be a token.
    #[error("read join token: it has {bytes} bytes, expected at most 8192")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A token of the programming interface.
    #[error(
        "read join token: this is an API token; make a join token with: headwater tokens create"
    )]
    ApiToken,
    /// Something else, or a version that is not known here.
    #[error("read join token: expected it to start with \"hwe1.\"")]
    Prefix,
    /// A part is missing, or there is one too many.
    #[error("read join token: it has {count} parts, expected 3 separated by dots; was it cut off?")]
    Parts {
        /// How many there are.
        count: usize,
    },
    /// A character that base64url does not have, or a wrong length.
    #[error("read {part} of join token")]
    Base64 {
        /// Which part.
        part: TokenPart,
        /// What is wrong with it.
        source: base64::DecodeError,
    },
    /// The secret was cut off.
    #[error("read join token: its secret has {bytes} bytes, expected 16; was it cut off?")]
    SecretLength {
        /// Its length.
        bytes: usize,
    },
    /// The second part is none.
    #[error("read second part of join token")]
    Invitation {
        /// What is wrong with it.
        source: rmp_serde::decode::Error,
    },
    /// Something follows the content of the second part.
    #[error("read second part of join token: {bytes} bytes follow its end")]
    TrailingBytes {
        /// How much.
        bytes: usize,
    },
    /// No address, or too many.
    #[error("read join token: it has {count} addresses, expected 1 to 16")]
    Addresses {
        /// How many there are.
        count: usize,
    },
    /// No pin, or too many.
    #[error("read join token: it has {count} pins of an authority, expected 1 to 8")]
    Pins {
        /// How many there are.
        count: usize,
    },
    /// A name that cannot be shown.
    #[error("read join token: its name is longer than 64 bytes or holds a control character")]
    Name,
}

const PREFIX: &str = "hwe1";

/// Source: SECURITY.md, section 8.
const API_TOKEN_PREFIX: &str = "hwt_";

/// One address for each node of a large cluster.
const ADDRESSES_MAX: usize = 16;

/// Two during a change of roots; the rest is room.
const PINS_MAX: usize = 8;

const NAME_BYTES_MAX: usize = 64;

/// 16 addresses of 263 bytes, 8 pins of 34, name and id, in base64url, are 6.2 KiB.
const TEXT_BYTES_MAX: usize = 8_192;

/// A list of lists is all that there is.
const NESTING_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_as_it_was_written() {
        let token = sample();
        let text = token.to_text();
        for pasted in [text.clone(), format!("  {text}\r\n")] {
            let read = JoinToken::parse(&pasted).unwrap();
            assert_eq!(read.addresses(), token.addresses());
            assert_eq!(read.pins(), token.pins());
            assert_eq!(read.name(), "web fleet");
            assert_eq!(read.id(), token.id());
            assert!(read.secret().matches(&token.secret().hash()));
        }
        assert!(text.len() < 160, "one address and one pin fit into two lines: {}", text.len());
    }

    #[test]
    fn a_token_never_shows_its_secret() {
        let token = sample();
        let text = token.to_text();
        let secret = text.rsplit('.').next().unwrap();
        let bytes: Vec<String> = token.secret().as_bytes().iter().map(u8::to_string).collect();
        let shown = format!("{token:?} {token:#?}");
        assert!(!shown.contains(secret) && !shown.contains(&bytes.join(", ")), "{shown}");
    }

    #[test]
    fn each_way_to_damage_a_token_has_its_own_message() {
        let text = sample().to_text();
        let (head, secret) = text.rsplit_once('.').unwrap();
        let body = head.strip_prefix("hwe1.").unwrap();
        for (damaged, expected) in [
            (String::new(), "it is empty"),
            ("   ".into(), "it is empty"),
            ("a".repeat(8_193), "has 8193 bytes"),
            ("hwt_abc".into(), "this is an API token"),
            (text.replace("hwe1", "hwe2"), "start with \"hwe1.\""),
            (text.replace("hwe1", "HWE1"), "start with \"hwe1.\""),
            ("hwe1".into(), "it has 1 parts"),
            (head.into(), "it has 2 parts"),
            (format!("{text}.x"), "it has 4 parts"),
            (format!("hwe1.{body}!.{secret}"), "read second part"),
            (format!("hwe1.{body}.{secret}="), "read third part"),
            (format!("hwe1.{}\n{}.{secret}", &body[..9], &body[9..]), "read second part"),
            (text[..text.len() - 2].into(), "its secret has 15 bytes"),
            (format!("hwe1.{body}."), "its secret has 0 bytes"),
            (format!("hwe1..{secret}"), "read second part"),
            (format!("hwe1.{}.{secret}", &body[..40]), "read second part"),
            (with_invitation(&[0x94, 0x90, 0x90, 0xa0], &[7; 16]), "it has 0 addresses"),
            (
                with_invitation(&[0x94, 0x91, 0xa3, b'a', b':', b'1', 0x90, 0xa0], &[7; 16]),
                "0 pins",
            ),
            (with_invitation(&[0x94, 0x91, 0xa1, b'a', 0x90, 0xa0], &[7; 16]), "read second part"),
            (with_invitation(&[0x94, 0x90, 0x90, 0xa0], &[7; 17]), "read second part"),
        ] {
            let error = JoinToken::parse(&damaged).unwrap_err().to_string();
            assert!(error.contains(expected), "{damaged:?} says {error:?}, expected {expected:?}");
        }
    }

    #[test]
    fn a_token_that_nobody_could_use_is_not_made() {
        let pins = || vec![Pin::of_public_key(b"root")];
        let address: Address = "a:1".parse().unwrap();
        assert!(JoinToken::mint(vec![], pins(), String::new()).is_err());
        assert!(JoinToken::mint(vec![address.clone()], vec![], String::new()).is_err());
        assert!(JoinToken::mint(vec![address.clone(); 17], pins(), String::new()).is_err());
        assert!(JoinToken::mint(vec![address.clone()], pins(), "x".repeat(65)).is_err());
        assert!(JoinToken::mint(vec![address], pins(), "\u{1b}[2J".to_owned()).is_err());
    }

    #[test]
    fn the_largest_token_can_be_read() {
        let address: Address = format!("{}:65535", "a".repeat(253)).parse().unwrap();
        let pins = vec![Pin::of_public_key(b"root"); 8];
        let token = JoinToken::mint(vec![address; 16], pins, "x".repeat(64)).unwrap();
        assert!(JoinToken::parse(&token.to_text()).is_ok());
    }

    fn sample() -> JoinToken {
        let addresses = vec!["agg-1.example.com:7443".parse().unwrap()];
        let pins = vec![Pin::of_public_key(b"root")];
        JoinToken::mint(addresses, pins, "web fleet".to_owned()).unwrap()
    }

    /// Makes a token of MessagePack that ends in a byte string.
    fn with_invitation(start: &[u8], id: &[u8]) -> String {
        let length = u8::try_from(id.len()).unwrap();
        let invitation = [start, &[0xc4, length], id].concat();
        let secret = URL_SAFE_NO_PAD.encode([1; 16]);
        format!("hwe1.{}.{secret}", URL_SAFE_NO_PAD.encode(invitation))
    }
}
