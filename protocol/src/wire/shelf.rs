//! Definitions that the sessions of a node share: hosts of a fleet run the same programs, which write the same lines.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Each definition that a session remembers, once.
///
/// Shared by the tasks of all sessions: a session takes it for a moment when it is told something new, which is rare once its
/// host is known.
#[derive(Debug, Default)]
pub struct Shelf(Mutex<Shelved>);

#[derive(Debug, Default)]
struct Shelved {
    all: BTreeSet<Arc<[u8]>>,
    /// How many there were when it was last looked which of them no session remembers any more.
    swept: usize,
}

/// Definitions below which it is not worth looking.
const SWEPT_MIN: usize = 1024;

impl Shelf {
    /// A definition, which is the same in memory for all who ask.
    pub(super) fn shared(&self, definition: &[u8]) -> Arc<[u8]> {
        let mut shelved = self.lock();
        if let Some(known) = shelved.all.get(definition) {
            return Arc::clone(known);
        }
        if shelved.all.len() >= 2 * shelved.swept.max(SWEPT_MIN) {
            shelved.all.retain(|definition| Arc::strong_count(definition) > 1);
            shelved.swept = shelved.all.len();
        }
        let definition: Arc<[u8]> = definition.into();
        shelved.all.insert(Arc::clone(&definition));
        definition
    }

    fn lock(&self) -> MutexGuard<'_, Shelved> {
        // Whoever panicked has left a set that is one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_stands_once_and_goes_with_the_last_who_remembers_it() {
        let shelf = Shelf::default();
        let (one, other) = (shelf.shared(b"a template"), shelf.shared(b"a template"));
        assert!(Arc::ptr_eq(&one, &other));
        drop(other);
        for number in 0..10 * SWEPT_MIN {
            let _ = shelf.shared(&number.to_le_bytes());
        }
        assert!(shelf.lock().all.len() <= 2 * SWEPT_MIN);
        assert!(Arc::ptr_eq(&one, &shelf.shared(b"a template")), "it is still remembered");
    }
}
