//! The log's commits beside a plain file on the same disk, in turn.

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::Effort;
use crate::report::{Better, Figure, Section};
use crate::site::Programs;

/// What `headwater-kernels` prints.
#[derive(Deserialize)]
struct Commits {
    log: Vec<f64>,
    plain: Vec<f64>,
}

impl Commits {
    fn ratios(&self) -> Vec<f64> {
        self.log.iter().zip(&self.plain).map(|(log, plain)| plain / log).collect()
    }

    fn megabytes(of: &[f64]) -> Vec<f64> {
        of.iter().map(|bytes| bytes / 1e6).collect()
    }
}

/// Commits one batch at a time, and sixteen.
pub(crate) fn measure(programs: &Programs, effort: Effort) -> Result<Section> {
    let run = |group: usize| -> Result<Commits> {
        let folder = tempfile::Builder::new().prefix("hwbench.").tempdir_in(programs.work())?;
        let mut command = programs.kernels();
        command.arg("commits").arg(folder.path()).arg(group.to_string());
        let done = command.arg(effort.commit_blocks.to_string()).output()?;
        ensure!(done.status.success(), "headwater-kernels ended with {}", done.status);
        Ok(serde_json::from_slice(&done.stdout)?)
    };
    let (one, many) = (run(1)?, run(16)?);
    let figures = vec![
        Figure::new("time / plain file's, 1 a commit", "", one.ratios())
            .limit("1.8, without quick repair".to_owned())
            .at_most(2.5)
            .recorded(Better::Less),
        Figure::new("time / plain file's, 16 a commit", "", many.ratios())
            .limit("1.25, without quick repair".to_owned())
            .at_most(1.54)
            .recorded(Better::Less),
        Figure::new("log, 1 a commit", "MB/s", Commits::megabytes(&one.log)),
        Figure::new("plain file, 1 a commit", "MB/s", Commits::megabytes(&one.plain)),
        Figure::new("log, 16 a commit", "MB/s", Commits::megabytes(&many.log)),
        Figure::new("plain file, 16 a commit", "MB/s", Commits::megabytes(&many.plain)),
    ];
    Ok(Section {
        title: "The log's commits, against the disk",
        workload: format!(
            "batches of 65,000 bytes to one shard, 1 or 16 of them and then a wait until they are durable; {} blocks of 40 \
             commits in turn with as many of a plain file: write, fdatasync",
            effort.commit_blocks
        ),
        notes: vec!["The ratio is made within each pair of blocks.".to_owned()],
        figures,
    })
}
