//! Light, dark, or what the browser's system has: kept in a cookie, set before the first pixel.

use axum::Form;
use axum::http::header::{COOKIE, HeaderMap, LOCATION, REFERER, SET_COOKIE};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

/// The theme of a page.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Theme {
    /// What the system has.
    #[default]
    Auto,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    pub(crate) const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    /// The one that was chosen.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';'));
        let word = pairs.find_map(|pair| pair.trim().strip_prefix("headwater_theme="));
        Self::ALL.into_iter().find(|theme| Some(theme.word()) == word).unwrap_or_default()
    }

    /// `auto`, `light` or `dark`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// As a button says it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }
}

/// The form of the frame.
#[derive(Debug, Deserialize)]
pub(crate) struct Chosen {
    theme: Theme,
}

/// `POST /theme`: back to the page it came from.
pub(crate) async fn choose(headers: HeaderMap, Form(chosen): Form<Chosen>) -> Response {
    let word = chosen.theme.word();
    let cookie =
        format!("headwater_theme={word}; HttpOnly; SameSite=Lax; Path=/; Max-Age=31536000");
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, back(&headers))]).into_response()
}

/// Path and query of the page that the form was on: never another host's.
fn back(headers: &HeaderMap) -> String {
    let from = headers.get(REFERER).and_then(|from| from.to_str().ok());
    let from = from.and_then(|from| from.parse::<Uri>().ok());
    let path = from.as_ref().and_then(|from| from.path_and_query()).map(|it| it.as_str());
    // Two slashes would begin a host.
    let is_page = |path: &&str| path.starts_with("/devices") || path.starts_with("/sinks");
    path.filter(is_page).unwrap_or("/devices").to_owned()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_word_that_is_no_theme_is_the_systems() {
        let with = |text| HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(text))]);
        assert_eq!(Theme::of(&with("a=b; headwater_theme=dark")), Theme::Dark);
        assert_eq!(Theme::of(&with("headwater_theme=\"><script>")), Theme::Auto);
        assert_eq!(Theme::of(&HeaderMap::new()), Theme::Auto);
    }

    #[test]
    fn the_form_leads_back_to_a_page_of_ours_only() {
        let from = |text| back(&HeaderMap::from_iter([(REFERER, HeaderValue::from_static(text))]));
        assert_eq!(from("http://127.0.0.1:1/devices/a?tab=logs"), "/devices/a?tab=logs");
        assert_eq!(from("http://127.0.0.1:1/sinks"), "/sinks");
        assert_eq!(from("http://127.0.0.1:1//evil.example/"), "/devices");
        assert_eq!(from("no address"), "/devices");
    }
}
