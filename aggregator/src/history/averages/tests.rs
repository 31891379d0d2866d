use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use headwater_protocol::record::Series;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use proptest::prelude::*;

use super::*;
use crate::limits::ByteCount;
use crate::log::MinFree;
use crate::merge::Write;
use crate::metrics::Metrics;
use crate::sink::SinkView;
use crate::window::partial::GroupRow;
use crate::window::{Combination, Figures, Key, Spread};

const LOG: LogId = LogId([3; 16]);
/// So far apart that a few of them lie in several hours.
const STEP_US: i64 = 300_000_000;
const START_US: i64 = 1_795_874_400_000_000;

#[derive(Clone, Debug)]
enum Step {
    /// Figures of a key in a window: all of them, or what adds to them.
    Write { window: u8, key: u8, value: i8, adds: bool },
    /// So many seconds pass, and the writer does what is to be done.
    Turns(u8),
    /// Everything is durable; windows before this one may go.
    Sync(u8),
    /// The process ends: what was not durable is gone, and is folded again.
    Crash,
    /// The store is damaged, and the merge log has lost so many of its last entries.
    Anew(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (0_u8..40, 0_u8..3, any::<i8>(), any::<bool>());
    let write =
        write.prop_map(|(window, key, value, adds)| Step::Write { window, key, value, adds });
    let step = prop_oneof![
        8 => write,
        4 => (0_u8..120).prop_map(Step::Turns),
        1 => (0_u8..40).prop_map(Step::Sync),
        1 => Just(Step::Crash),
        1 => (0_u8..9).prop_map(Step::Anew),
    ];
    prop::collection::vec(step, 1..60)
}

type Place = (i64, String);

struct Site {
    root: tempfile::TempDir,
    store: Option<Store>,
    writer: Option<Writer>,
    now: Instant,
    log: Vec<Write>,
    /// Up to here windows were let go by a store that is still the same.
    gone: u8,
}

impl Site {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut site =
            Self { root, store: None, writer: None, now: Instant::now(), log: Vec::new(), gone: 0 };
        site.open();
        site
    }

    fn path(&self) -> PathBuf {
        self.root.path().join("averages.redb")
    }

    fn history(&self) -> PathBuf {
        self.root.path().join("history")
    }

    /// Opens the store, folds what it lacks, and starts to write.
    fn open(&mut self) {
        let store = Store::open(&self.path(), LOG, true).unwrap();
        let from = usize::try_from(store.next().unwrap().0).unwrap();
        for (at, write) in self.log.iter().enumerate().skip(from) {
            store.apply(std::slice::from_ref(write), &[], Offset(at as u64 + 1)).unwrap();
        }
        let about = SinkAbout {
            name: "averages".to_owned(),
            kind: "parquet",
            location: String::new(),
            claim: "",
        };
        let view = Arc::new(Mutex::new(SinkView::new(about, SinkState::Running)));
        let metrics = Metrics::default().sink;
        let options = Averages {
            folder: self.history(),
            log: LOG,
            store: store.clone(),
            every: Duration::from_secs(60),
            retention: Retention::default(),
            space: Arc::new(Space::of(self.root.path(), MinFree::Bytes(ByteCount(0))).unwrap()),
            metrics: metrics.clone(),
        };
        self.writer = Some(Writer::new(options, Tries::new(view, metrics)));
        self.store = Some(store);
    }

    fn close(&mut self) {
        self.writer = None;
        self.store = None;
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn handle(&mut self, step: &Step) {
        match *step {
            Step::Write { window, key, value, adds } => self.write(window, key, value, adds),
            Step::Turns(seconds) => {
                for _ in 0..4 {
                    self.now += Duration::from_secs(u64::from(seconds / 4));
                    while self.writer.as_mut().unwrap().work(self.now).unwrap().is_some() {}
                }
            }
            Step::Sync(window) => {
                self.store().sync(start_us(window)).unwrap();
                self.gone = self.gone.max(window);
            }
            Step::Crash => {
                // Of what is open, the disk has what was durable.
                let durable = std::fs::read(self.path()).unwrap();
                self.close();
                std::fs::write(self.path(), durable).unwrap();
                self.open();
            }
            Step::Anew(lost) => {
                self.close();
                std::fs::remove_file(self.path()).unwrap();
                let left = self.log.len().saturating_sub(usize::from(lost));
                self.log.truncate(left);
                self.gone = 0;
                self.open();
            }
        }
    }

    fn write(&mut self, window: u8, key: u8, value: i8, adds: bool) {
        let series = Series { metric: "m".to_owned(), labels: Vec::new(), scale: 1 };
        let figures = Figures::of(i64::from(value));
        let row = GroupRow { series: Arc::new(series), figures, spread: Spread::Told, devices: 1 };
        // The merge fold says nothing of a window as a whole once it was let go.
        let adds = adds || window < self.gone;
        let write = Write {
            start_us: start_us(window),
            combination: Arc::new(Combination::new(vec!["site".to_owned()])),
            key: Arc::new(Key::Of(vec![format!("s{key}")])),
            revision: u32::from(!adds),
            known: 2,
            rows: vec![row],
        };
        let next = Offset(self.log.len() as u64 + 1);
        self.store().apply(std::slice::from_ref(&write), &[], next).unwrap();
        self.log.push(write);
    }

    /// What all files say: each figure once, but for those that add.
    fn found(&self) -> BTreeMap<Place, Figures> {
        let mut found: BTreeMap<Place, Figures> = BTreeMap::new();
        let mut whole = BTreeSet::new();
        for path in files(&self.history()) {
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(super::super::file::check_seal(&bytes), super::super::file::Seal::Whole);
            let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
            for row in reader.get_row_iter(None).unwrap() {
                let row = row.unwrap();
                let place =
                    (row.get_timestamp_micros(0).unwrap(), row.get_string(2).unwrap().clone());
                let sum = row.get_decimal(13).unwrap().data().to_vec();
                let sum = i128::from_be_bytes(sum.try_into().unwrap());
                let tenth = |at| {
                    #[expect(clippy::cast_possible_truncation, reason = "of one byte")]
                    let value = (row.get_double(at).unwrap() * 10.0).round() as i64;
                    value
                };
                let count = u64::try_from(row.get_long(5).unwrap()).unwrap();
                let figures = Figures { sum, count, min: tenth(7), max: tenth(8) };
                let is_late = row.get_bool(19).unwrap();
                assert!(is_late || whole.insert(place.clone()), "{place:?} is in two rows");
                let before = found.get(&place).copied();
                found.insert(place, before.map_or(figures, |it| it.plus(figures)));
            }
        }
        found
    }

    fn expected(&self) -> BTreeMap<Place, Figures> {
        let mut expected: BTreeMap<Place, Figures> = BTreeMap::new();
        for write in &self.log {
            let place = (write.start_us, format!("{{\"site\":\"{}\"}}", write.key.value(0)));
            let figures = write.rows[0].figures;
            let before = expected.get(&place).filter(|_| write.revision == 0);
            let sum = before.map_or(figures, |it| it.plus(figures));
            expected.insert(place, sum);
        }
        expected
    }
}

fn start_us(window: u8) -> i64 {
    START_US + i64::from(window) * STEP_US
}

/// Files that a query finds.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root.join("table=averages")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever comes late, ends, or is made anew: at no time is a figure in two rows, and in the end each is what was folded.
    #[test]
    fn files_say_what_was_folded(steps in steps()) {
        let mut site = Site::new();
        for step in &steps {
            site.handle(step);
            site.found();
        }
        for _ in 0..4 {
            site.handle(&Step::Turns(240));
        }
        prop_assert_eq!(site.found(), site.expected());
        let pending = site.store().pending(PendingKind::Averages).unwrap();
        prop_assert!(pending.at_us.is_empty());
    }
}

#[test]
fn small_files_of_an_hour_become_one() {
    let mut site = Site::new();
    for window in 0..11 {
        site.handle(&Step::Write { window, key: 0, value: 1, adds: false });
        site.handle(&Step::Turns(120));
    }
    let (one, other): (Vec<_>, Vec<_>) =
        files(&site.history()).into_iter().partition(|it| it.to_string_lossy().contains("hour=14"));
    assert!(one.len() < 9 && other.is_empty(), "eight of them are one: {one:?} {other:?}");
    site.handle(&Step::Write { window: 14, key: 0, value: 1, adds: false });
    site.handle(&Step::Turns(120));
    let left = files(&site.history());
    assert_eq!(left.len(), 2, "the hour has ended: {left:?}");
    assert_eq!(site.found(), site.expected());
}

#[test]
fn what_a_store_held_before_anybody_followed_it_is_written() {
    let mut site = Site::new();
    site.close();
    std::fs::remove_file(site.path()).unwrap();
    site.store = Some(Store::open(&site.path(), LOG, false).unwrap());
    for window in [0, 1, 13] {
        site.write(window, 0, 3, false);
    }
    site.store().sync(i64::MIN).unwrap();
    assert!(site.store().pending(PendingKind::Averages).unwrap().at_us.is_empty());
    site.close();
    site.open();
    for _ in 0..2 {
        site.handle(&Step::Turns(240));
    }
    assert_eq!(site.found(), site.expected());
    assert_eq!(site.found().len(), 3);
}

#[test]
fn a_changed_window_is_replaced_in_its_file() {
    let mut site = Site::new();
    site.handle(&Step::Write { window: 0, key: 0, value: 1, adds: false });
    site.handle(&Step::Turns(120));
    let before = files(&site.history());
    site.handle(&Step::Write { window: 0, key: 0, value: 5, adds: true });
    site.handle(&Step::Turns(120));
    let after = files(&site.history());
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before, after);
    let figures = Figures { sum: 6, count: 2, min: 1, max: 5 };
    assert_eq!(site.found().into_values().collect::<Vec<_>>(), [figures]);
}
