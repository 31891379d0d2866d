//! Records of the batches that are applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::identity::DeviceId;
use headwater_protocol::record::{Content, Gap, Measured, Record};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::super::rows::{GapRow, Moment, SampleRow, TapRow};
use super::super::selection::Selection;
use super::{Shown, Wanted};
use crate::fold::AppliedBatch;
use crate::node::NodeHandle;

/// Shows records until the reader goes.
pub(super) async fn run(
    node: NodeHandle,
    wanted: Wanted,
    mut shown: Shown,
    mut live: Receiver<Arc<AppliedBatch>>,
) {
    let selection = Selection::of_all(&node.devices().await);
    let mut tap = Tap { node, wanted, selection, labels: BTreeMap::new() };
    while !shown.is_closed() {
        match tokio::time::timeout_at(shown.flush_at(), live.recv()).await {
            Err(_) => {}
            Ok(Ok(batch)) => tap.take(&batch, &mut shown).await,
            // How many lines were in them is not known; that there were some is.
            Ok(Err(RecvError::Lagged(batches))) => shown.skip(batches),
            Ok(Err(RecvError::Closed)) => return,
        }
        shown.flush().await;
    }
}

struct Tap {
    node: NodeHandle,
    wanted: Wanted,
    selection: Selection,
    labels: BTreeMap<DeviceId, BTreeMap<String, String>>,
}

impl Tap {
    async fn take(&mut self, batch: &AppliedBatch, shown: &mut Shown) {
        let device = batch.header.device;
        shown.skip(batch.skipped_before);
        if self.selection.is_new(batch) {
            self.selection.add_names(self.node.names());
        }
        if !self.labels.contains_key(&device) {
            let view = self.node.device(&device.to_string()).await;
            self.labels.insert(device, view.map(|view| view.facts).unwrap_or_default());
        }
        self.selection.learn(batch);
        let Some(body) = &batch.body else { return };
        for record in &body.records {
            if let Content::Facts(facts) = &record.content {
                self.labels.insert(device, facts.clone());
            }
            self.record(batch, record, shown);
        }
    }

    fn record(&self, batch: &AppliedBatch, record: &Record, shown: &mut Shown) {
        let device = batch.header.device;
        let conditions = &self.wanted.conditions;
        let fits = conditions.fits("device", &self.selection.name(device))
            && conditions.fits("lane", &batch.header.lane.to_string())
            && conditions.fits("source", &self.selection.path(device, record.stream))
            && self.labels.get(&device).is_some_and(|labels| conditions.labels_fit(labels));
        if !fits {
            return;
        }
        let time = Moment(record.time_us);
        match &record.content {
            Content::Tick(tick) if self.wanted.wants("metrics") => {
                let alone = self.wanted.what.is_some();
                let fitting =
                    tick.iter().filter(|sample| conditions.fits("metric", &sample.series.metric));
                for sample in fitting {
                    shown.show_sample(alone, || TapRow::Sample(self.sample(device, time, sample)));
                }
            }
            // A condition on a metric is one that no line can fulfil.
            _ if conditions.asks("metric") => {}
            Content::Event(event) if self.wanted.wants("logs") => {
                shown.show(|| TapRow::Line(self.selection.line(device, record, event)));
            }
            Content::Facts(facts) if self.wanted.wants("events") => shown.show(|| TapRow::Facts {
                time,
                device: self.selection.name(device),
                facts: facts.clone(),
            }),
            Content::Gap(gap) if self.wanted.wants("events") => {
                shown.show(|| TapRow::Gap(self.gap(batch, record, gap)));
            }
            Content::Tick(_) | Content::Event(_) | Content::Facts(_) | Content::Gap(_) => {}
        }
    }

    fn sample(&self, device: DeviceId, time: Moment, sample: Measured<'_>) -> SampleRow {
        SampleRow {
            time,
            device: self.selection.name(device),
            metric: sample.series.metric.clone(),
            labels: sample.series.labels.iter().cloned().collect(),
            scaled: sample.value,
            scale: sample.series.scale,
        }
    }

    fn gap(&self, batch: &AppliedBatch, record: &Record, gap: &Gap) -> GapRow {
        let about = gap.about.unwrap_or(record.stream);
        GapRow {
            device: self.selection.name(batch.header.device),
            lane: batch.header.lane.to_string(),
            cause: gap.cause.word().to_owned(),
            source: self.selection.path(batch.header.device, about),
            run: about.run.number,
            start: record.start,
            end: record.end,
            records: gap.records,
            bytes: gap.bytes,
            time: Moment(record.time_us),
            offset: batch.offset.0,
        }
    }
}
