//! The body of a notice: version 4 of the webhook of Alertmanager, so that whatever reads that reads
//! this.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::alert::change::{Alert, AlertChange, AlertState};
use crate::api::rows::Moment;
use crate::window::DEVICE;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    version: &'static str,
    group_key: String,
    truncated_alerts: u64,
    status: &'static str,
    receiver: &'a str,
    group_labels: BTreeMap<&'static str, &'a str>,
    common_labels: &'a BTreeMap<String, String>,
    common_annotations: &'a BTreeMap<&'static str, String>,
    #[serde(rename = "externalURL")]
    external_url: &'static str,
    alerts: [Told<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    status: &'static str,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<&'static str, String>,
    starts_at: Moment,
    /// Year 1 while it is open, as Alertmanager has it.
    ends_at: EndsAt,
    #[serde(rename = "generatorURL")]
    generator_url: &'static str,
    fingerprint: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum EndsAt {
    Ended(Moment),
    Open(&'static str),
}

/// The body for one receiver; `device` is the name of the device, if the key is one and it is known.
pub(super) fn of(change: &AlertChange, receiver: &str, device: Option<&str>) -> Vec<u8> {
    let alert = &change.alert;
    let labels = labels(alert, device);
    let annotations = annotations(change, device);
    let (status, ends_at) = match alert.state {
        AlertState::Cleared(_) => ("resolved", EndsAt::Ended(Moment(alert.changed_us))),
        AlertState::Firing | AlertState::Pending => {
            ("firing", EndsAt::Open("0001-01-01T00:00:00Z"))
        }
    };
    let body = Body {
        version: "4",
        group_key: format!("{{}}:{{alertname={:?}}}", alert.rule.name),
        truncated_alerts: 0,
        status,
        receiver,
        group_labels: BTreeMap::from([("alertname", alert.rule.name.as_str())]),
        common_labels: &labels,
        common_annotations: &annotations,
        external_url: "",
        alerts: [Told {
            status,
            labels: &labels,
            annotations: &annotations,
            starts_at: Moment(alert.began_us),
            ends_at,
            generator_url: "",
            fingerprint: alert.id.to_string(),
        }],
    };
    serde_json::to_vec(&body).expect("texts and moments have a JSON form")
}

/// Ours win over those of a series that calls its own the same.
fn labels(alert: &Alert, device: Option<&str>) -> BTreeMap<String, String> {
    let mut labels = alert.labels.clone();
    labels.extend(alert.key.clone());
    if let (Some(name), Some(id)) = (device, alert.key.get(DEVICE)) {
        labels.insert("device_id".to_owned(), id.clone());
        labels.insert(DEVICE.to_owned(), name.to_owned());
    }
    let own = [
        ("alertname", alert.rule.name.as_str()),
        ("owner", alert.rule.owner.as_str()),
        ("severity", alert.severity.word()),
        ("metric", alert.metric.as_str()),
    ];
    labels.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
    labels
}

fn annotations(change: &AlertChange, device: Option<&str>) -> BTreeMap<&'static str, String> {
    let alert = &change.alert;
    let mut annotations = BTreeMap::from([
        ("summary", summary(alert, device)),
        ("value", alert.value.to_string()),
        ("limit", alert.limit.to_string()),
        ("change", change.kind.word().to_owned()),
        ("revision", alert.revision.to_string()),
    ]);
    annotations.extend(alert.note.clone().map(|note| ("description", note)));
    annotations.extend(alert.runbook.clone().map(|link| ("runbook_url", link)));
    if let AlertState::Cleared(reason) = alert.state {
        annotations.insert("reason", reason.words().to_owned());
    }
    annotations
}

/// One line for a chat.
pub(super) fn summary(alert: &Alert, device: Option<&str>) -> String {
    let pairs = |labels: &BTreeMap<String, String>| {
        let pairs: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(",")
    };
    let place = device.map_or_else(|| pairs(&alert.key), str::to_owned);
    let series = match alert.labels.is_empty() {
        true => alert.metric.clone(),
        false => format!("{}{{{}}}", alert.metric, pairs(&alert.labels)),
    };
    let (name, value, limit) = (&alert.rule.name, alert.value, alert.limit);
    match alert.state {
        AlertState::Cleared(reason) => {
            format!("{name} on {place}: over, {} ({series} {value})", reason.words())
        }
        AlertState::Firing | AlertState::Pending => {
            let severity = alert.severity.word();
            format!("{name} on {place}: {severity}, {series} {value}, limit {limit}")
        }
    }
}
