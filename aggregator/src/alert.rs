//! Alerts: what closed windows mean by the thresholds that hold for them.
//!
//! [`Alerts`] is the alert fold: pure, bounded, a function of the published rules and of the first
//! revisions of closed windows, in order. It lives in the state of the merge fold. Time is window time
//! alone; numbers are compared exactly, without floats. One change of an alert's state is one
//! [`AlertChange`] with a number of its own, of which notices are made.

mod board;
mod change;
mod decimal;
mod file;
mod fold;
mod measure;
mod mistake;
pub mod notice;
mod plan;
mod rules;
mod selector;
mod threshold;
mod tracked;

pub use board::{AlertBoard, Next};
pub use change::{Alert, AlertChange, AlertId, AlertState, ChangeKind, EndReason};
pub use decimal::{Decimal, DecimalError};
pub use file::{Known, ThresholdFile};
pub use fold::{Alerts, RuleState};
pub use mistake::{Mistake, Mistakes};
pub use plan::{Plan, RuleChange, Sign};
pub use rules::{DecodeError, PublishError, RuleName, RuleSet};
pub use selector::{Selector, SelectorError};
pub use threshold::{Limits, LimitsError, Scope, Severity, Stat, Threshold, When};

/// The thresholds that a new node begins with: CPU at 70 %, disks and memory.
pub const SHIPPED: &str = include_str!("../../packaging/examples/thresholds.toml");

#[cfg(test)]
mod tests;
