//! The list of devices: searched, sorted, a hundred to a page.

mod fleet;
mod order;
mod query;
mod row;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::ConsoleHandle;
use super::page::{Frame, html};
use crate::cli::client::encoded;
pub(super) use fleet::Fleet;
pub(super) use order::Order;
pub(super) use row::{Cells, Row, value};

/// Devices to a page. Source: CONSOLE page, section 4.
const PAGE_ROWS: usize = 100;

/// What the address asks for.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    sort: Order,
    /// The first one is 1.
    #[serde(default)]
    page: usize,
}

/// What is shown of the fleet.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) rows: Vec<Row>,
    /// Devices that there are.
    pub(crate) all: usize,
    /// Devices that fit.
    pub(crate) found: usize,
    /// How many of all are online.
    pub(crate) online: usize,
    page: usize,
    pages: usize,
    /// What of the search can't be understood. `None` if all can.
    pub(crate) fault: Option<String>,
}

impl Asked {
    /// A page of a search.
    pub(crate) fn new(q: String, sort: Order, page: usize) -> Self {
        Self { q, sort, page }
    }

    /// Looks it up.
    pub(crate) async fn list(&self, fleet: &Fleet) -> Listed {
        let rows = fleet.rows().await;
        let (query, fault) = match query::Query::parse(&self.q) {
            Ok(query) => (query, None),
            Err(fault) => (query::Query::default(), Some(fault)),
        };
        let mut fitting: Vec<&Row> = rows.iter().filter(|row| query.fits(row)).collect();
        fitting.sort_by(|one, other| self.sort.compare(one, other));
        let pages = fitting.len().div_ceil(PAGE_ROWS).max(1);
        let page = self.page.clamp(1, pages);
        let shown = fitting.iter().skip((page - 1) * PAGE_ROWS).take(PAGE_ROWS);
        Listed {
            rows: shown.map(|row| (*row).clone()).collect(),
            all: rows.len(),
            found: fitting.len(),
            online: rows.iter().filter(|row| row.state.is_fresh()).count(),
            page,
            pages,
            fault,
        }
    }

    fn address(&self, sort: Order, page: usize) -> String {
        format!("/devices?q={}&sort={}&page={page}", encoded(&self.q), sort.word())
    }

    fn live(&self) -> String {
        format!("/live?q={}&sort={}&page={}", encoded(&self.q), self.sort.word(), self.page)
    }
}

/// A column's head: a link that sorts.
struct Head {
    label: &'static str,
    address: String,
    /// `ascending`, `descending` or `none`, as ARIA says it.
    sorted: &'static str,
    class: &'static str,
}

#[derive(Template)]
#[template(path = "devices.html")]
struct Page {
    frame: Frame,
    list: List,
}

#[derive(Template)]
#[template(path = "devices_list.html")]
struct List {
    listed: Listed,
    heads: Vec<Head>,
    previous: Option<String>,
    next: Option<String>,
    q: String,
    live: String,
    worst: String,
}

/// `GET /devices`: the page, or its list alone for a search while it is typed.
pub(crate) async fn page(
    State(console): State<ConsoleHandle>,
    frame: Frame,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    let listed = asked.list(console.fleet()).await;
    let head = |order: Order| Head {
        label: order.label(),
        address: asked.address(order, 1),
        sorted: if order == asked.sort { order.direction() } else { "none" },
        class: order.class(),
    };
    let turn = |page: usize| asked.address(asked.sort, page);
    let list = List {
        heads: Order::COLUMNS.into_iter().map(head).collect(),
        previous: (listed.page > 1).then(|| turn(listed.page - 1)),
        next: (listed.page < listed.pages).then(|| turn(listed.page + 1)),
        q: asked.q.clone(),
        live: asked.live(),
        worst: asked.address(Order::Worst, 1),
        listed,
    };
    if headers.contains_key("hx-request") && !headers.contains_key("hx-boosted") {
        return html(&list);
    }
    let frame = Frame { search: asked.q.clone(), live: asked.live(), ..frame };
    html(&Page { frame, list })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_what_was_searched_whatever_it_holds() {
        let asked = Asked { q: "a&b=\"c\" <d>".to_owned(), ..Asked::default() };
        assert_eq!(
            asked.address(Order::Name, 2),
            "/devices?q=a%26b%3D%22c%22%20%3Cd%3E&sort=name&page=2"
        );
    }

    #[test]
    fn a_page_of_devices_stays_within_its_budgets_and_names_stay_text() {
        let row = |number: usize| Row {
            name: format!("</td><script>edge-{number:05}</script>"),
            mount: "\"><img src=x>".repeat(4),
            cpu: Some(0.5),
            records: u64::MAX,
            ..Row::default()
        };
        let rows: Vec<Row> = (0..PAGE_ROWS).map(row).collect();
        let listed = Listed {
            all: 100_000,
            found: 100_000,
            online: 3,
            page: 2,
            pages: 1_000,
            fault: Some("<b>".to_owned()),
            rows,
        };
        let list = List {
            heads: Vec::new(),
            previous: Some("/devices?page=1".to_owned()),
            next: None,
            q: "<i>".to_owned(),
            live: String::new(),
            worst: String::new(),
            listed,
        };
        let html = list.render().unwrap();
        for tag in ["<script", "<img", "<b>", "<i>"] {
            assert!(!html.contains(tag), "{tag} of a stranger");
        }
        let elements = html.matches('<').count() - html.matches("</").count();
        assert!(elements <= 2_800, "{elements} elements; the frame has less than 100");
        // Rows are alike: compressed, a tenth of it travels.
        assert!(html.len() <= 300 << 10, "{} bytes", html.len());
    }
}
