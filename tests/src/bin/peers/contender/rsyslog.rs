//! rsyslog: imfile, a disk queue and RELP, to a second rsyslog that writes a file.

use std::path::{Path, PathBuf};

use super::launched::Launched;
use super::{Configuration, Contender, free_port};
use crate::tally::Tally;

#[derive(Debug)]
pub(super) struct Rsyslog {
    folder: PathBuf,
    sender: Launched,
    receiver: Launched,
    configurations: Vec<Configuration>,
}

impl Rsyslog {
    /// `is_checkpointed` is for a queue that writes its books for each message.
    pub(super) fn new(folder: &Path, programs: &Path, is_checkpointed: bool) -> Self {
        let port = free_port().to_string();
        let more = if is_checkpointed { CHECKPOINTS } else { "" };
        let mut configurations = Vec::new();
        let mut prepare = |name: &'static str, template: &str| {
            std::fs::create_dir(folder.join(name)).unwrap();
            let text = template.replace("@PORT@", &port).replace("@MORE@", more);
            let text = text.replace("@D@", &folder.display().to_string());
            let path = folder.join(format!("{name}.conf"));
            std::fs::write(&path, &text).unwrap();
            configurations.push(Configuration::new(name, &text, folder));
            launched(
                programs,
                &["-n", "-iNONE", "-f", &path.display().to_string()],
                folder.join(name),
            )
        };
        let sender = prepare("sender", include_str!("rsyslog-sender.conf"));
        let receiver = prepare("receiver", include_str!("rsyslog-receiver.conf"));
        Self { folder: folder.to_owned(), sender, receiver, configurations }
    }
}

/// Its documentation: "If the checkpoint interval is set to one, no data can be lost, but the queue is
/// exceptionally slow."
const CHECKPOINTS: &str = " queue.checkpointInterval=\"1\"";

/// rsyslogd as its packages were unpacked.
fn launched(programs: &Path, words: &[&str], log: PathBuf) -> Launched {
    let root = programs.join("rsyslog");
    let libraries = std::fs::read_dir(root.join("usr/lib")).map(|mut entries| {
        entries.find_map(|entry| Some(entry.ok()?.path()).filter(|it| it.join("rsyslog").is_dir()))
    });
    let libraries = libraries.ok().flatten().unwrap_or_else(|| root.join("usr/lib"));
    let modules = libraries.join("rsyslog").display().to_string();
    let words = ["-M", &modules].into_iter().chain(words.iter().copied()).map(str::to_owned);
    Launched::new(&root.join("usr/sbin/rsyslogd"), words.collect(), log.with_extension("log"))
        .with_libraries(&libraries)
}

pub(super) fn version(programs: &Path) -> String {
    let line = launched(programs, &["-v"], PathBuf::new()).first_line();
    let version = line.split_whitespace().nth(1).unwrap_or("of an unknown version");
    format!("rsyslog {version}")
}

impl Contender for Rsyslog {
    fn configurations(&self) -> Vec<Configuration> {
        self.configurations.clone()
    }

    fn start_receiver(&mut self) {
        self.receiver.start();
    }

    fn start_sender(&mut self) {
        self.sender.start();
    }

    fn kill_sender(&mut self) -> bool {
        self.sender.kill()
    }

    fn received(&self) -> u64 {
        std::fs::metadata(self.folder.join("received")).map_or(0, |found| found.len())
    }

    fn stop_sender(&mut self) -> bool {
        self.sender.stop()
    }

    fn finish(&mut self, tally: &mut Tally) -> Option<String> {
        let is_orderly = self.receiver.stop();
        // It makes the file with the first line.
        tally.take_all(&std::fs::read(self.folder.join("received")).unwrap_or_default());
        (!is_orderly).then(|| "the receiver did not stop by itself".to_owned())
    }
}
