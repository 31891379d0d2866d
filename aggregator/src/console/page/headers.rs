//! Headers of every answer. Source: SECURITY page, section 8.

use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A number that only this answer knows: scripts and htmx attributes that carry it are ours.
#[derive(Clone, Debug)]
pub(crate) struct Nonce(pub(crate) String);

impl Nonce {
    /// 128 random bits.
    pub(crate) fn draw() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }
}

/// The answer with all that a browser must not do.
pub(crate) fn secured(mut response: Response, nonce: &Nonce) -> Response {
    let headers = response.headers_mut();
    let policy = format!(
        "default-src 'none'; script-src 'self' 'nonce-{}'; style-src 'self'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
        nonce.0
    );
    let policy = HeaderValue::try_from(policy).expect("a policy of ASCII is a header");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn every_answer_forbids_what_pages_do_not_need() {
        let (one, two) = (Nonce::draw().unwrap(), Nonce::draw().unwrap());
        assert!(one.0.len() >= 22 && one.0 != two.0);
        let response = secured(Response::new(Body::empty()), &one);
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "style-src 'self';",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{part} in {policy}");
        }
        assert!(policy.contains(&format!("script-src 'self' 'nonce-{}';", one.0)));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.headers()["referrer-policy"], "same-origin");
        assert_eq!(response.headers()["cross-origin-opener-policy"], "same-origin");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
}
