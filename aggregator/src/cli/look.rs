//! Looking at what arrives: devices, records as they are applied, lines as they are stored.

pub(crate) mod devices;
pub(crate) mod explore;
pub(crate) mod logs;
pub(crate) mod tap;
