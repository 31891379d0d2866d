//! An agent with little to do: samples every 10 s, and a file that nobody writes to.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Effort;
use crate::report::{Better, Figure, Section};
use crate::site::{Load, Programs, Site, load_file};

/// Watches an idle agent for a while.
pub(crate) fn measure(programs: &Programs, effort: Effort, alone: bool) -> Result<Section> {
    eprintln!("idle: {} s", effort.idle_seconds);
    let folder = tempfile::Builder::new().prefix("hwbench.").tempdir_in(programs.work())?;
    let file = load_file(folder.path());
    std::fs::write(&file, "a quiet file\n")?;
    let load = Load { file, sample_interval: "10s", bulk_seal_after: None };
    let site = Site::new(programs, &load)?;
    let mut agent = site.start_agent()?;
    site.until("the line and a sample are in the ledger", || {
        agent.usage()?;
        Ok(site.records_read("bulk")? > 0 && site.records_read("live")? > 0)
    })?;
    let (before, wire_before) = (agent.usage()?, site.aggregator.loopback_bytes()?);
    let begun = Instant::now();
    let span = Duration::from_secs(u64::from(effort.idle_seconds));
    let mut resident = Vec::new();
    while begun.elapsed() < span {
        std::thread::sleep(Duration::from_secs(1));
        resident.push(agent.usage()?.resident_bytes / 1e6);
    }
    let (after, wire_after) = (agent.usage()?, site.aggregator.loopback_bytes()?);
    let hours = begun.elapsed().as_secs_f64() / 3600.0;
    // Ticks of 10 ms are coarse for so little; ended threads are missing in the finer count.
    let cpu_seconds = (after.cpu_seconds_of_threads - before.cpu_seconds_of_threads)
        .max(after.cpu_seconds - before.cpu_seconds - 0.01);
    let mut figures = vec![
        Figure::new("agent RSS", "MB", resident)
            .at_most(20.0)
            .limit("5.4, prototype".to_owned())
            .peer(3.2, "collectd", Better::Less),
        Figure::new("agent RSS, peak", "MB", vec![after.resident_bytes_peak / 1e6]).peer(
            16.3,
            "Fluent Bit",
            Better::Less,
        ),
        Figure::new("agent CPU", "s/h", vec![cpu_seconds / hours])
            .limit("0.33, prototype".to_owned())
            .peer(0.4, "collectd", Better::Less),
    ];
    if alone {
        #[expect(clippy::cast_precision_loss, reason = "bytes of a minute")]
        let bytes = (wire_after - wire_before) as f64;
        figures.push(Figure::new("wire, all of it", "kB/h", vec![bytes / 1e3 / hours]));
    }
    Ok(Section {
        title: "An idle agent",
        workload: format!(
            "samples of CPU, memory, disks, network, pressure and load every 10 s, one quiet file; watched for {} s \
             after the first batch was applied; RSS once a second, the rest once",
            effort.idle_seconds
        ),
        notes: vec![
            "The prototype had the same libraries and raw reads of /proc, no files to tail."
                .to_owned(),
            "collectd has neither a spool nor acks nor TLS; Fluent Bit has a durable buffer."
                .to_owned(),
        ],
        figures,
    })
}
