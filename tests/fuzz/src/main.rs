//! Fuzzing of every parser of bytes from a peer or a disk. `docs/fuzzing.md` says what each target
//! asserts, and `packaging/dev/fuzz` builds and runs them.
//!
//! One program holds all targets, so that they are linked once; `HEADWATER_FUZZ` names the one to run. A
//! target panics where a rule is broken: of the parser, or of what the target knows about it.

#![no_main]

mod files;
mod folding;
mod joining;
mod memory;
mod rows;
mod seeds;
mod settings;
mod wire;

use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// A target: takes any bytes.
type Target = fn(&[u8]);

/// Every target by its name, which is the name of its corpus.
const TARGETS: [(&str, Target); 17] = [
    ("body", wire::body),
    ("config", settings::agent),
    ("control", wire::control),
    ("csr", joining::csr),
    ("enrol", joining::enrol),
    ("fields", wire::fields),
    ("fold", folding::fold),
    ("frame", wire::frames),
    ("gz", files::gz),
    ("lines", files::lines),
    ("log_row", rows::log),
    ("merge_row", rows::merge),
    ("node_config", settings::node),
    ("registry_row", rows::registry),
    ("spool_row", rows::spool),
    ("thresholds", settings::thresholds),
    ("token", joining::token),
];

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(init: { choose(); }, |bytes: &[u8]| {
    (TARGET.get().expect("a target is chosen before the first input"))(bytes);
});

/// Chooses the target that the environment names, or does what it asks for instead: `list` prints the
/// names of all, and `seeds` writes inputs to begin with into the folder of the corpora.
fn choose() {
    let name = std::env::var("HEADWATER_FUZZ").unwrap_or_default();
    match name.as_str() {
        "list" => {
            TARGETS.iter().for_each(|(name, _)| println!("{name}"));
            std::process::exit(0);
        }
        "seeds" => {
            let folder = std::env::var_os("HEADWATER_FUZZ_CORPUS").expect("a folder of corpora");
            seeds::write(&PathBuf::from(folder));
            std::process::exit(0);
        }
        _ => {}
    }
    let Some((_, target)) = TARGETS.iter().find(|(known, _)| *known == name) else {
        eprintln!("HEADWATER_FUZZ={name}: no target is called so; HEADWATER_FUZZ=list names them");
        std::process::exit(2);
    };
    _ = TARGET.set(*target);
}
