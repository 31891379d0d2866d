//! What could not be read, each told once for as long as it lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::sample::SampleFault;

/// What could not be read.
#[derive(Debug, Default)]
pub(in crate::sample) struct Faults {
    lasting: BTreeMap<PathBuf, u64>,
    crowded: BTreeSet<PathBuf>,
    untold: Vec<SampleFault>,
}

impl Faults {
    /// Passes a value on; an error is counted, and kept to be told if it is the first of its path.
    pub(in crate::sample) fn note<T>(&mut self, path: &Path, outcome: io::Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.forget(path);
                Some(value)
            }
            Err(source) => {
                let count = self.lasting.entry(path.to_owned()).or_default();
                *count += 1;
                if *count == 1 {
                    self.tell(SampleFault::Read { path: path.to_owned(), count: 1, source });
                }
                None
            }
        }
    }

    /// Notes how many of the entries of a file are left out; none is no fault.
    pub(in crate::sample) fn note_left_out(&mut self, path: &Path, left: usize, most: usize) {
        if left == 0 {
            self.crowded.remove(path);
        } else if self.crowded.insert(path.to_owned()) {
            self.tell(SampleFault::LeftOut { path: path.to_owned(), left, most });
        }
    }

    /// Forgets a path that is read again, or that is no longer asked for.
    pub(in crate::sample) fn forget(&mut self, path: &Path) {
        // A look-up alone costs no allocation; nearly every tick has no fault at all.
        if !self.lasting.is_empty() {
            self.lasting.remove(path);
        }
    }

    pub(in crate::sample) fn untold(&mut self) -> Vec<SampleFault> {
        let mut untold = std::mem::take(&mut self.untold);
        for fault in &mut untold {
            if let SampleFault::Read { path, count, .. } = fault {
                *count = self.lasting.get(path).copied().unwrap_or(*count);
            }
        }
        untold
    }

    fn tell(&mut self, fault: SampleFault) {
        if self.untold.len() < UNTOLD_MAX {
            self.untold.push(fault);
        }
    }
}

/// Faults that wait to be told: one for each mount and each sensor there may be, and the files.
const UNTOLD_MAX: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_once_until_it_has_recovered() {
        let mut faults = Faults::default();
        let gone = || io::Result::<()>::Err(io::ErrorKind::NotFound.into());
        let path = Path::new("/proc/x");
        assert_eq!(faults.note(path, gone()), None);
        assert_eq!(faults.note(path, gone()), None);
        let told = faults.untold();
        assert!(matches!(told[..], [SampleFault::Read { count: 2, .. }]), "{told:?}");
        faults.note(path, gone());
        assert!(faults.untold().is_empty(), "it was told");
        faults.note(path, Ok(()));
        faults.note(path, gone());
        assert_eq!(faults.untold().len(), 1, "it had recovered");
    }

    #[test]
    fn what_is_left_out_is_told_once_until_all_had_room() {
        let mut faults = Faults::default();
        let path = Path::new("/proc/net/dev");
        faults.note_left_out(path, 7, 3);
        faults.note_left_out(path, 8, 3);
        let told: Vec<String> = faults.untold().iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("7 entries of /proc/net/dev are left out: at most 3 "),
            "{told:?}"
        );
        faults.note_left_out(path, 0, 3);
        faults.note_left_out(path, 1, 3);
        assert_eq!(faults.untold().len(), 1, "there was room for all");
    }
}
