//! The sums of one combination in one window, by keys.

use std::sync::Arc;

use headwater_protocol::record::Series;

use super::cells::Cells;
use super::columns::{Columns, Visit};
use super::keys::KeyTable;
use super::partial::{Group, GroupRow};
use super::{Combination, Figures, Key, Spread};

/// Sums by keys, and by `other` where there are too many keys.
pub(super) struct Sums<'a> {
    table: &'a KeyTable,
    most: usize,
    /// Whether quantiles are kept.
    is_spread: bool,
    /// By number of a key: where its sum is.
    places: Vec<u32>,
    all: Vec<Sum>,
    other: Option<u32>,
}

/// The sum of one key.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) known: u32,
    is_spread: bool,
    /// In order of series.
    rows: Vec<GroupRow>,
    /// What found no row, in no order.
    more: Vec<GroupRow>,
}

const NOWHERE: u32 = u32::MAX;
/// What has found no row is put in order once it is as much as the rows, and at least this.
const MORE_MIN: usize = 32;

impl<'a> Sums<'a> {
    pub(super) fn new(table: &'a KeyTable, most: usize, is_spread: bool) -> Self {
        let places = vec![NOWHERE; table.len()];
        Self { table, most, is_spread, places, all: Vec::new(), other: None }
    }

    /// Whether quantiles are kept.
    pub(super) fn is_spread(&self) -> bool {
        self.is_spread
    }

    /// Whether there may be more keys than a combination may have: then it matters which comes first.
    pub(super) fn may_overflow(&self) -> bool {
        self.table.len() > self.most
    }

    /// The sum of a key, or of `other` where there are too many keys.
    pub(super) fn of(&mut self, number: u32) -> &mut Sum {
        let mut place = self.places[number as usize];
        if place == NOWHERE {
            place = self.place();
            self.places[number as usize] = place;
        }
        &mut self.all[place as usize]
    }

    fn place(&mut self) -> u32 {
        let next = u32::try_from(self.all.len()).expect("keys are bounded by devices");
        if let Some(other) = self.other {
            return other;
        }
        if self.all.len() >= self.most {
            self.other = Some(next);
        }
        self.all.push(Sum { is_spread: self.is_spread, ..Sum::default() });
        next
    }

    /// The groups in order of keys, `other` behind them.
    pub(super) fn into_groups(mut self, combination: &Arc<Combination>) -> Vec<Group> {
        let mut groups = Vec::with_capacity(self.all.len());
        let mut push = |key, sum: Sum| {
            let (combination, known) = (Arc::clone(combination), sum.known);
            groups.push(Group { combination, key, known, rows: sum.into_rows() });
        };
        for (key, number) in self.table.iter() {
            let place = self.places[number as usize];
            if place != NOWHERE && Some(place) != self.other {
                push(Arc::clone(key), std::mem::take(&mut self.all[place as usize]));
            }
        }
        if let Some(other) = self.other {
            push(Arc::new(Key::Other), std::mem::take(&mut self.all[other as usize]));
        }
        groups
    }
}

impl Sum {
    /// Adds one device's figures.
    pub(super) fn add(
        &mut self,
        (visits, slot): (&[Visit], u32),
        cells: &Cells,
        columns: &Columns<'_>,
    ) {
        let tallies = cells.tallies(slot);
        let is_spread = self.is_spread;
        let figures = visits.iter().filter_map(|visit| {
            let tally = tallies.get(visit.place as usize)?;
            Some((columns.series(visit.column), cells.figures_of(*tally)?, visit.place))
        });
        let sketches = cells.sketches(slot);
        let sketch_of = |place: u32| sketches.get(place as usize).and_then(Option::as_deref);
        let row = |(series, figures, place): (&Arc<Series>, Figures, u32)| GroupRow {
            series: Arc::clone(series),
            figures,
            spread: if is_spread { Spread::of(sketch_of(place)) } else { Spread::Unknown },
            devices: 1,
        };
        if self.rows.is_empty() {
            self.rows = Vec::with_capacity(tallies.len().min(visits.len()));
            self.rows.extend(figures.map(row));
            return;
        }
        let mut next = 0;
        for (series, figures, place) in figures {
            let is_next = |row: &GroupRow| Arc::ptr_eq(&row.series, series);
            if !self.rows.get(next).is_some_and(is_next) {
                match self.rows.binary_search_by(|row| row.series.cmp(series)) {
                    Ok(at) => next = at,
                    Err(_) => {
                        self.more.push(row((series, figures, place)));
                        continue;
                    }
                }
            }
            let row = &mut self.rows[next];
            if is_spread {
                row.spread.count(row.figures, sketch_of(place), figures);
            }
            row.figures = row.figures.plus(figures);
            row.devices += 1;
            next += 1;
        }
        if self.more.len() > MORE_MIN.max(self.rows.len()) {
            self.settle();
        }
    }

    /// Puts what found no row among the rows.
    fn settle(&mut self) {
        self.rows.append(&mut self.more);
        self.rows.sort_by(|one, other| one.series.cmp(&other.series));
        self.rows.dedup_by(|row, before| {
            let is_same = row.series == before.series;
            if is_same {
                before.add(row);
            }
            is_same
        });
    }

    fn into_rows(mut self) -> Vec<GroupRow> {
        if !self.more.is_empty() {
            self.settle();
        }
        self.rows
    }
}
