//! A device's page: figures and charts, its log as it comes, its ledger, its alerts.

mod alerts;
mod chart;
mod facts;
mod ledger;
mod lines;
mod plan;
mod range;

use std::borrow::Cow;

use askama::Template;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::ConsoleHandle;
use super::page::{Frame, html};
use crate::cli::client::encoded;
use crate::clock::wall_us;
use crate::node::DeviceView;
pub(super) use alerts::{Pulse, pulse};
use chart::Plotted;
pub(super) use chart::{plotted, recent};
use facts::{Facts, Tile};
pub(super) use facts::{head, tiles};
pub(super) use lines::{LineSource, Shown};
pub(super) use range::Range;

/// What is open on the page.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tab {
    /// Figures and charts.
    #[default]
    Overview,
    /// Log lines.
    Logs,
    /// What the ledger says.
    Ledger,
    /// Alerts.
    Alerts,
}

impl Tab {
    const ALL: [Self; 4] = [Self::Overview, Self::Logs, Self::Ledger, Self::Alerts];

    fn word(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Logs => "logs",
            Self::Ledger => "ledger",
            Self::Alerts => "alerts",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Logs => "Logs",
            Self::Ledger => "Ledger",
            Self::Alerts => "Alerts",
        }
    }
}

/// What the address asks for.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    tab: Tab,
    #[serde(default)]
    range: Range,
}

/// A link of a row of links.
struct Link {
    label: Cow<'static, str>,
    href: String,
    current: bool,
}

/// What is open.
enum Open {
    Overview { tiles: Vec<Tile>, plotted: Plotted, ranges: Vec<Link>, chart: String },
    Logs { lines: Vec<Shown>, next: String },
    Ledger(Box<ledger::Shown>),
    Alerts { alerts: Vec<alerts::Shown>, stamp: String },
}

#[derive(Template)]
#[template(path = "device.html")]
struct Page {
    frame: Frame,
    facts: Facts,
    tabs: Vec<Link>,
    open: Open,
}

/// `GET /devices/NAME`
pub(crate) async fn page(
    State(console): State<ConsoleHandle>,
    frame: Frame,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let Some(device) = console.node().device(&name).await else { return super::no_device() };
    let now_us = wall_us();
    let base = format!("/devices/{}", encoded(&device.name));
    let Pulse { label, stamp } = pulse(console.node(), &device);
    let tabs = Tab::ALL.into_iter().map(|tab| Link {
        label: if tab == Tab::Alerts { label.clone().into() } else { tab.label().into() },
        href: format!("{base}?tab={}", tab.word()),
        current: tab == asked.tab,
    });
    let open = match opened(&console, &device, asked, (&base, stamp)).await {
        Ok(open) => open,
        Err(response) => return response,
    };
    let (device_word, tab) = (encoded(&device.id.to_string()), asked.tab.word());
    let range = asked.range.word();
    let mut live = format!("/live?device={device_word}&tab={tab}&range={range}");
    if let Open::Logs { next, .. } = &open {
        live.push_str("&from=");
        live.push_str(next);
    }
    let frame = Frame { live, ..frame };
    let facts = Facts::of(&device, now_us);
    html(&Page { frame, facts, tabs: tabs.collect(), open })
}

async fn opened(
    console: &ConsoleHandle,
    device: &DeviceView,
    asked: Asked,
    (base, stamp): (&str, String),
) -> Result<Open, Response> {
    let node = console.node();
    Ok(match asked.tab {
        Tab::Overview => {
            let ranges = Range::ALL.into_iter().map(|range| Link {
                label: range.label().into(),
                href: format!("{base}?range={}", range.word()),
                current: range == asked.range,
            });
            Open::Overview {
                tiles: tiles(device, wall_us()),
                plotted: plotted(node, device, asked.range).await?,
                ranges: ranges.collect(),
                chart: format!("{base}/chart?range={}", asked.range.word()),
            }
        }
        Tab::Logs => {
            let mut source = LineSource::new(node, device);
            let lines = source.last().await;
            Open::Logs { lines, next: source.next().to_string() }
        }
        Tab::Ledger => Open::Ledger(Box::new(ledger::Shown::of(node, device).await)),
        Tab::Alerts => Open::Alerts { alerts: alerts::of(node, device), stamp },
    })
}

/// `GET /devices/NAME/chart`: the points of every chart.
pub(crate) async fn chart(
    State(console): State<ConsoleHandle>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let Some(device) = console.node().device(&name).await else { return super::no_device() };
    match plotted(console.node(), &device, asked.range).await {
        Ok(plotted) => Json(plotted).into_response(),
        Err(response) => response,
    }
}
