//! Who may look: one-time links, sessions, and what a request must show.

mod guard;
mod login;
mod sessions;

pub(super) use guard::{guard, plain};
pub(super) use login::{door, end, page};
pub(super) use sessions::{Access, CODE_LIFE, Session};
