//! A look at the files that tails name, without reading any.

use std::path::PathBuf;

use super::access::Refusal;
use super::discover::{Discovery, Stems};
use super::identity::open;
use super::notice::Notice;
use crate::config::TailConfig;

/// What tails name, as this user sees it.
#[derive(Debug)]
pub struct Survey {
    /// Files that could be opened.
    pub files: usize,
    /// Files that could not be opened and folders that could not be listed, and why.
    pub refused: Vec<(PathBuf, Refusal)>,
}

/// Opens each file that a tail names, and closes it again.
#[must_use]
pub fn survey(tails: &[TailConfig]) -> Survey {
    let found = Discovery::new(tails).scan(0, &|_| Stems::new());
    let mut survey = Survey { files: 0, refused: Vec::new() };
    for notice in found.notices {
        if let Notice::Unlisted { path, refusal } = notice {
            survey.refused.push((path, refusal));
        }
    }
    for (sighting, _) in found.named {
        match open(&sighting.path) {
            Ok(_) => survey.files += 1,
            // It was deleted in between.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let refusal = Refusal::of(&sighting.path, &error);
                survey.refused.push((sighting.path, refusal));
            }
        }
    }
    survey
}
