//! The webhooks that are told of alerts.

use std::collections::BTreeSet;
use std::path::PathBuf;

use toml::Spanned;

use super::AlertConfig;
use super::error::ConfigError;
use super::layer::Layer;
use super::raw::{Key, RawWebhook};
use super::read::{Found, Layers};
use crate::alert::RuleName;
use crate::alert::notice::{LOG, Url, Webhook};
use crate::limits::WEBHOOKS_MAX;

/// The webhooks of the strongest layer that has any.
pub(super) fn read(layers: &Layers<'_>) -> Result<AlertConfig, ConfigError> {
    let Some(found) = layers.find("alert.webhook", |raw| &raw.alert.webhook) else {
        return Ok(AlertConfig { webhooks: Vec::new() });
    };
    let most = format!("at most {WEBHOOKS_MAX} of them");
    found.check(|webhooks| (webhooks.len() <= WEBHOOKS_MAX).then_some(()), most)?;
    let mut names = BTreeSet::from([LOG]);
    let webhooks = found.value.iter().map(|raw| {
        let name = of(found.layer, "alert.webhook.name", &raw.name);
        let is_free =
            RuleName::is_word(&raw.name.get_ref()[..]) && names.insert(raw.name.get_ref());
        let expected = "1 to 63 letters, digits, '.', '-' or '_', each name once, and not \"log\"";
        name.check(|_| is_free.then_some(()), expected)?;
        webhook(found.layer, raw)
    });
    Ok(AlertConfig { webhooks: webhooks.collect::<Result<_, _>>()? })
}

fn of<'a, T>(layer: &'a Layer, key: &'static str, value: &'a Spanned<T>) -> Found<'a, T> {
    Found { key, value: value.get_ref(), layer, span: value.span() }
}

fn webhook(layer: &Layer, raw: &RawWebhook) -> Result<Webhook, ConfigError> {
    let url = of(layer, "alert.webhook.url", &raw.url);
    let parsed = Url::parse(url.value, raw.allow_http);
    let expected = parsed.as_ref().err().map_or_else(String::new, ToString::to_string);
    Ok(Webhook {
        name: raw.name.get_ref().clone(),
        url: url.check(|_| parsed.ok(), expected)?,
        secret_file: file(layer, "alert.webhook.secret_file", &raw.secret_file)?,
        ca_file: file(layer, "alert.webhook.ca_file", &raw.ca_file)?,
        allow_private: raw.allow_private,
    })
}

fn file(
    layer: &Layer,
    key: &'static str,
    value: &Key<String>,
) -> Result<Option<PathBuf>, ConfigError> {
    let absolute = |text: &String| Some(PathBuf::from(text)).filter(|path| path.is_absolute());
    let read = |value| of(layer, key, value).check(absolute, "an absolute path");
    value.as_ref().map(read).transpose()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn with(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        std::fs::write(&file, text).unwrap();
        let root = folder.path().display().to_string();
        Config::from_layers(Some(&file), []).map_err(|error| error.to_string().replace(&root, ""))
    }

    const HOOK: &str = "[[alert.webhook]]\nname = \"on-call\"\nurl = \"https://a.example/x\"\n";

    #[test]
    fn webhooks_are_read_and_what_is_wrong_is_named_with_its_place() {
        let webhooks = with(HOOK).unwrap().alert.webhooks;
        assert_eq!((webhooks[0].name.as_str(), webhooks[0].allow_private), ("on-call", false));
        let cases = [
            (HOOK.replace("https", "http"), "alert.webhook.url is", "allow_http = true", "3:7"),
            (HOOK.replace("on-call", "log"), "alert.webhook.name is \"log\"", "not \"log\"", "2:8"),
            (format!("{HOOK}{HOOK}"), "alert.webhook.name is", "each name once", "5:8"),
            (format!("{HOOK}secret_file = \"a\"\n"), "secret_file is \"a\"", "absolute", "4:15"),
            (format!("{HOOK}secret = \"a\"\n"), "unknown key \"secret\"", "secret_file", "4:1"),
        ];
        for (text, what, expected, place) in cases {
            let error = with(&text).unwrap_err();
            for part in [what, expected, place] {
                assert!(error.contains(part), "{part} is in: {error}");
            }
        }
    }
}
