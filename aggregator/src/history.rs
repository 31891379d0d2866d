//! History: what was applied stays, as Parquet files that anyone can query.
//!
//! Rows lie under `table=…/dt=…/hour=…/shard=…` by the corrected time of their event, UTC. A file holds what one range of a
//! shard's log brought for one such folder, and is named after the range: whoever writes it again writes the same rows under
//! the same name. A file is made whole elsewhere and then given its name, so that one that is there is complete; it is never
//! changed. Each row repeats what earlier records said of its device and source, so that files can be read one by one.
//!
//! Once an hour has ended, the files of its folders are merged: a folder is exchanged at once for one that holds the same rows
//! in fewer files, so that whoever lists it sees each row once.

mod averages;
mod columns;
mod events;
mod file;
mod folder;
mod gaps;
mod merge;
pub mod read;
mod rest;
mod retention;
mod samples;
mod sink;
mod table;

pub use averages::Averages;
pub use folder::{Folder, FolderError};
pub use rest::{Rest, RestError, RestFile};
pub use retention::{Keep, Retention};
pub use sink::Parquet;
pub use table::{Hour, Table};
