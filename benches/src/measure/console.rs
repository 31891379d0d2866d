//! The console while a fleet is live: how long a page takes, what it weighs, and how soon an average that is
//! complete can be seen.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Effort;
use crate::report::{Figure, Section};
use crate::site::{Histogram, Programs, Session, Site, quiet_load};

/// Measures pages and averages.
pub(crate) fn measure(programs: &Programs, effort: Effort) -> Result<Section> {
    eprintln!("console: {} devices", effort.devices);
    let folder = tempfile::Builder::new().prefix("hwbench.").tempdir_in(programs.work())?;
    let load = quiet_load(folder.path())?;
    let mut site = Site::new(programs, &load)?;
    let alone = site.aggregator.usage()?.resident_bytes;
    let fleet = site.start_fleet(effort.devices)?;
    let session = site.enter_console()?;
    let before = visible(&site)?;
    let charts = charts_of(&session, PAGES[0].path)?;
    let mut times: BTreeMap<&'static str, Vec<Times>> = BTreeMap::new();
    for run in 0..effort.runs.max(QUICK_RUNS) {
        eprintln!("console: run {}", run + 1);
        for page in PAGES {
            let found = Times::of(&session, page.path)?;
            times.entry(page.name).or_default().push(found);
        }
        times.entry(CHARTS).or_default().push(Times::of(&session, &charts)?);
    }
    // Averages of windows that closed meanwhile, and of a few more if the pages were quick.
    site.until(
        "windows were closed",
        || Ok(visible(&site)?.since(&before).count() >= WINDOWS_MIN),
    )?;
    let visible = visible(&site)?.since(&before);
    let with_fleet = site.aggregator.usage()?.resident_bytes;
    let mut figures = page_figures(&times);
    #[expect(clippy::cast_precision_loss, reason = "a number of devices")]
    let each = (with_fleet - alone) / effort.devices as f64;
    figures.push(
        Figure::new("aggregator RSS, each device", "kB", vec![each / 1e3])
            .limit("77, QUIC alone".to_owned())
            .at_most(131.0),
    );
    figures.extend(visible_figures(&visible)?);
    figures.extend(weights(&session)?);
    drop(fleet);
    Ok(section(effort, figures))
}

/// Runs of a quick measurement.
const QUICK_RUNS: usize = 2;
/// Requests of each page in a run: enough that the p95 is not one of the worst two.
const REQUESTS: usize = 60;
/// Between two requests: a person does not ask as fast as a machine answers.
const PAUSE: Duration = Duration::from_millis(20);
/// Windows whose averages are timed, at least.
const WINDOWS_MIN: f64 = 12.0;

struct Page {
    name: &'static str,
    path: &'static str,
}

const PAGES: [Page; 2] = [
    Page { name: "device page", path: "/devices/fleet-00042" },
    Page { name: "device list", path: "/devices" },
];

const CHARTS: &str = "charts";

/// Where a device page asks for what its charts draw.
fn charts_of(session: &Session, page: &str) -> Result<String> {
    let html = String::from_utf8(session.get(page)?.body).context("a page is text")?;
    let path = html.split("data-charts=\"").nth(1).and_then(|rest| rest.split('"').next());
    let path = path.with_context(|| format!("{page} has charts"))?;
    Ok(path.replace("&#38;", "&").replace("&amp;", "&"))
}

/// How long requests of one page took, in seconds, in order.
struct Times(Vec<f64>);

impl Times {
    fn of(session: &Session, path: &str) -> Result<Self> {
        let mut times = Vec::new();
        for _ in 0..REQUESTS {
            let answer = session.get(path)?;
            ensure!(!answer.body.is_empty(), "{path} is an empty page");
            times.push(answer.took.as_secs_f64());
            std::thread::sleep(PAUSE);
        }
        times.sort_by(f64::total_cmp);
        Ok(Self(times))
    }

    /// Milliseconds that a share of the requests did not exceed.
    fn percent(&self, percent: usize) -> f64 {
        self.0[(self.0.len() * percent).div_ceil(100).max(1) - 1] * 1e3
    }
}

fn page_figures(times: &BTreeMap<&'static str, Vec<Times>>) -> Vec<Figure> {
    let figure = |name, page: &str, percent| {
        let runs = times[page].iter().map(|run| run.percent(percent)).collect();
        Figure::new(name, "ms", runs)
    };
    vec![
        figure("device page, p50", "device page", 50),
        figure("device page, p95", "device page", 95).limit("150, the budget".to_owned()),
        figure("its charts, p50", CHARTS, 50),
        figure("its charts, p95", CHARTS, 95).limit("150, the budget".to_owned()),
        figure("device list, p50", "device list", 50),
        figure("device list, p95", "device list", 95).limit("150, the budget".to_owned()),
    ]
}

/// From the moment when a window's end is passed by the watermark to the moment when its averages are seen.
fn visible(site: &Site) -> Result<Histogram> {
    site.scrape()?.histogram("headwater_merge_visible_seconds")
}

fn visible_figures(visible: &Histogram) -> Result<Vec<Figure>> {
    let quantile = |share| visible.quantile(share).context("averages later than any edge");
    let (p50, p99) = (quantile(0.5)?, quantile(0.99)?);
    let milliseconds = |seconds: f64| vec![seconds * 1e3];
    Ok(vec![
        Figure::new("average visible, p50", "ms", milliseconds(p50.between)),
        Figure::new("average visible, p99", "ms", milliseconds(p99.between))
            .limit("1500, the budget".to_owned()),
        Figure::new("the same, for certain at most", "ms", milliseconds(p99.upper)),
        Figure::new("windows that became visible", "", vec![visible.count()]),
    ])
}

/// What a first visit takes, against the budgets of the console.
fn weights(session: &Session) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let names = [
        ["device page, HTML", "device page, HTML, compressed"],
        ["device list, HTML", "device list, HTML, compressed"],
    ];
    for (page, [plain, compressed]) in PAGES.iter().zip(names) {
        let html = session.get(page.path)?.body;
        figures.push(Figure::new(plain, "kB", vec![kb(html.len())]));
        let packed = zstd::bulk::compress(&html, LEVEL_OF_PAGES)?;
        figures.push(Figure::new(compressed, "kB", vec![kb(packed.len())]).at_most(61.44));
    }
    let html = String::from_utf8(session.get(PAGES[0].path)?.body).context("a page is text")?;
    let (scripts, packed) = files(session, &html, ".js")?;
    figures.push(Figure::new("scripts", "kB", vec![scripts]).at_most(120.0));
    figures.push(Figure::new("scripts, compressed", "kB", vec![packed]).at_most(45.0));
    let (styles, _) = files(session, &html, ".css")?;
    figures.push(Figure::new("styles", "kB", vec![styles]).at_most(26.0));
    Ok(figures)
}

/// What a server would spend on a page that it makes anew each time.
const LEVEL_OF_PAGES: i32 = 3;
/// What it would spend on a file that never changes.
const LEVEL_OF_FILES: i32 = 19;

/// The files of a kind that a page links: their weight as they are, and compressed.
fn files(session: &Session, html: &str, end: &str) -> Result<(f64, f64)> {
    let (mut plain, mut packed) = (0, 0);
    for path in linked(html).iter().filter(|path| path.ends_with(end)) {
        let body = session.get(path)?.body;
        plain += body.len();
        packed += zstd::bulk::compress(&body, LEVEL_OF_FILES)?.len();
    }
    ensure!(plain > 0, "a page has a file that ends in {end}");
    Ok((kb(plain), kb(packed)))
}

/// The addresses in a page's `src` and `href`, each once.
fn linked(html: &str) -> Vec<String> {
    let attributes = ["src=\"", "href=\""].map(|name| html.split(name).skip(1));
    let values = attributes.into_iter().flatten().filter_map(|rest| rest.split('"').next());
    let mut paths: Vec<String> = values.map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    paths
}

#[expect(clippy::cast_precision_loss, reason = "the bytes of a page")]
fn kb(bytes: usize) -> f64 {
    bytes as f64 / 1e3
}

fn section(effort: Effort, figures: Vec<Figure>) -> Section {
    Section {
        title: "The console, with a live fleet",
        workload: format!(
            "{} devices, each with a session of its own and samples of 32 series every 10 s; each \
             page {REQUESTS} times a run, over HTTP/1.0 with a connection of its own",
            effort.devices
        ),
        notes: vec![
            "Memory of a device is what the aggregator grew by, divided: sessions, state of the fold, windows, and \
             caches of its databases that filled up meanwhile, 26 MiB of them at most."
                .to_owned(),
            "The time of a page is from the attempt to connect to its last byte, on a machine that \
             runs the fleet as well."
                .to_owned(),
            "An average is visible once a reader gets it; the time runs from the moment when the \
             watermark passed its window's end, by the aggregator's own histogram at /metrics. A \
             quantile lies on a straight line between two of its edges."
                .to_owned(),
            "Goals of weight are the budgets of the console's design: 60 KiB of compressed HTML, 120 \
             kB of script and 45 kB of it compressed, 24 kB of our own styles and 1.9 kB of uPlot's. \
             The console listens on loopback and sends everything as it is; compressed is by this \
             program, zstd -3 for pages and zstd -19 for scripts."
                .to_owned(),
        ],
        figures,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_links_is_found_once() {
        let html = "<link href=\"/a.css\"><script src=\"/b.js\"></script><a href=\"/a.css\">";
        assert_eq!(linked(html), ["/a.css", "/b.js"]);
    }

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times = Times((1..=60).map(f64::from).collect());
        assert_eq!((times.percent(50), times.percent(95)), (30e3, 57e3));
    }
}
