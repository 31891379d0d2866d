//! Where to connect: a host and a port.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A host name or IP address, and a port: `agg-1.example.com:7443`, `192.0.2.1:7443` or
/// `[2001:db8::1]:7443`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    /// Without brackets.
    host: String,
    port: u16,
}

impl Address {
    /// Returns the host, an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, which is never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong { bytes: text.len() });
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
        let port = match port.parse() {
            Ok(0) | Err(_) => return Err(AddressError::Port),
            Ok(port) => port,
        };
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => {
                inner.parse::<Ipv6Addr>().map_err(|_| AddressError::Host)?;
                inner
            }
            None => host,
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if host.is_empty() || !(host.chars().all(is_name) || host.parse::<Ipv6Addr>().is_ok()) {
            return Err(AddressError::Host);
        }
        if host.contains(':') && !text.starts_with('[') {
            return Err(AddressError::Brackets);
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// Longer than any host name.
    #[error("read address: it has {bytes} bytes, expected at most 261")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// No colon.
    #[error("read address: expected \"host:port\", found no port")]
    NoPort,
    /// Something else after the last colon.
    #[error("read address: expected a port from 1 to 65535 after the last colon")]
    Port,
    /// Neither a host name nor an IP address.
    #[error("read address: expected a host name or an IP address before the port")]
    Host,
    /// An IPv6 address whose last group could be a port.
    #[error("read address: an IPv6 address goes in brackets, such as [2001:db8::1]:7443")]
    Brackets,
}

/// A DNS name of 253 characters, brackets, a colon and five digits.
const ADDRESS_BYTES_MAX: usize = 261;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, expected) in [
            ("agg-1.example.com:7443", Ok(("agg-1.example.com", 7443))),
            ("192.0.2.1:1", Ok(("192.0.2.1", 1))),
            ("[2001:db8::1]:7443", Ok(("2001:db8::1", 7443))),
            ("2001:db8::1:7443", Err(AddressError::Brackets)),
            ("agg", Err(AddressError::NoPort)),
            ("agg:", Err(AddressError::Port)),
            ("agg:0", Err(AddressError::Port)),
            ("agg:65536", Err(AddressError::Port)),
            ("agg:-1", Err(AddressError::Port)),
            (":7443", Err(AddressError::Host)),
            ("a b:7443", Err(AddressError::Host)),
            ("[agg]:7443", Err(AddressError::Host)),
            ("https://agg:7443", Err(AddressError::Host)),
            ("user@agg:7443", Err(AddressError::Host)),
        ] {
            let read = text.parse::<Address>();
            let parts = read.as_ref().map(|address| (address.host(), address.port()));
            assert_eq!(parts, expected.as_ref().copied(), "{text}");
            if let Ok(address) = &read {
                assert_eq!(address.to_string(), text);
            }
        }
    }
}
