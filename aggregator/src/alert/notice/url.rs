//! Addresses of webhooks.

use std::fmt;

use axum::http::Uri;

/// The address of a webhook. Its path may hold a secret and is never shown.
#[derive(Clone, Eq, PartialEq)]
pub struct Url {
    pub(super) is_tls: bool,
    /// A name or an address; one of version 6 without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

/// Why a text is no address of a webhook.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlError {
    /// It is not one.
    #[error("an address such as \"https://chat.example.com/hook\"")]
    Malformed,
    /// It is not encrypted.
    #[error("an address that begins with https://, or allow_http = true beside it")]
    Http,
    /// It holds a name and a password.
    #[error("an address without a user; notices are signed by secret_file")]
    User,
}

impl Url {
    /// Reads an address; one that is not encrypted only if that is allowed.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str, allow_http: bool) -> Result<Self, UrlError> {
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(UrlError::Malformed);
        };
        if authority.as_str().contains('@') {
            return Err(UrlError::User);
        }
        let is_tls = match scheme {
            "https" => true,
            "http" if allow_http => false,
            "http" => return Err(UrlError::Http),
            _ => return Err(UrlError::Malformed),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => Some(if is_tls { 443 } else { 80 }),
            _ => authority.port_u16().filter(|port| *port > 0),
        };
        let port = port.filter(|_| !host.is_empty()).ok_or(UrlError::Malformed)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { is_tls, host, port, path })
    }

    /// Host and port, as the header `Host` has them.
    pub(super) fn authority(&self) -> String {
        let is_v6 = self.host.contains(':');
        let host = if is_v6 { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.is_tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(out, "{scheme}://{}/…", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let cases = [
            ("https://a.example/hook?x=1", true, "a.example", 443, "/hook?x=1"),
            ("http://10.0.0.1:9093", false, "10.0.0.1", 9093, "/"),
            ("https://[2001:db8::1]:8443/a", true, "2001:db8::1", 8443, "/a"),
            ("http://2130706433/", false, "2130706433", 80, "/"),
        ];
        for (text, is_tls, host, port, path) in cases {
            let url = Url::parse(text, true).unwrap();
            let (host, path) = (host.to_owned(), path.to_owned());
            assert_eq!(url, Url { is_tls, host, port, path }, "{text}");
        }
        let shown = format!("{:?}", Url::parse("https://[::1]/secret-token", false).unwrap());
        assert_eq!(shown, "https://[::1]/…");
    }

    #[test]
    fn what_is_no_address_of_a_webhook_is_refused() {
        let cases = [
            ("http://a.example/", UrlError::Http),
            ("https://ana:secret@a.example/", UrlError::User),
            ("ftp://a.example/", UrlError::Malformed),
            ("/hook", UrlError::Malformed),
            ("a.example:80", UrlError::Malformed),
            ("https://", UrlError::Malformed),
            ("https://a.example:99999/", UrlError::Malformed),
            ("https://a.example:0/", UrlError::Malformed),
            ("https://a b/", UrlError::Malformed),
        ];
        for (text, error) in cases {
            assert_eq!(Url::parse(text, false), Err(error), "{text}");
        }
    }
}
