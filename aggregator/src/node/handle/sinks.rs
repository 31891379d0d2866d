//! Sinks, as the API asks for them.

use super::{NodeHandle, blocking};
use crate::api::rows::SinkRow;
use crate::sink::StoreError;

impl NodeHandle {
    /// Every sink, in the order in which rows come to them.
    #[must_use]
    pub fn sinks(&self) -> Vec<SinkRow> {
        self.stages.sinks.iter().map(|sink| SinkRow::of(&sink.view())).collect()
    }

    /// Stops a sink until somebody lets it go on, or lets it go on. `None` if there is none of this name.
    ///
    /// # Errors
    /// If that can't be written down: nothing is changed.
    pub async fn pause_sink(
        &self,
        name: &str,
        paused: bool,
    ) -> Result<Option<SinkRow>, StoreError> {
        let Some(sink) = self.stages.sinks.iter().find(|sink| sink.view().name == name) else {
            return Ok(None);
        };
        let changing = sink.clone();
        let changed = blocking(move || changing.set_paused(paused)).await;
        changed.unwrap_or(Ok(()))?;
        Ok(Some(SinkRow::of(&sink.view())))
    }
}
