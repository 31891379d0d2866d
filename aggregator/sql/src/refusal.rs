//! Why a query was refused or gave up, in words that say what to do.

use datafusion::common::DataFusionError;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as Sql;

use crate::failure::{Exit, Failure};
use crate::query::Asked;

/// Refuses what does not only read, before anything else is looked at.
///
/// # Errors
/// If it does not.
pub(crate) fn refused_statement(statement: &Statement) -> Result<(), Failure> {
    let inner = match statement {
        Statement::Explain(explain) => return refused_statement(&explain.statement),
        Statement::Statement(inner) => inner,
        Statement::CreateExternalTable(_) => return Err(reads_only("CREATE EXTERNAL TABLE")),
        Statement::CopyTo(_) => return Err(reads_only("COPY")),
        Statement::Reset(_) => return Err(reads_only("RESET")),
    };
    match inner.as_ref() {
        Sql::Query(_)
        | Sql::Explain { .. }
        | Sql::ExplainTable { .. }
        | Sql::ShowTables { .. }
        | Sql::ShowColumns { .. }
        | Sql::ShowFunctions { .. }
        | Sql::ShowVariable { .. } => Ok(()),
        other => {
            let text = other.to_string();
            Err(reads_only(text.split_whitespace().next().unwrap_or("this")))
        }
    }
}

fn reads_only(verb: &str) -> Failure {
    Failure::new(Exit::Denied, format!("{verb} is refused: the history is only read"))
        .cause("its rows are what the ledger counts; nothing of it is changed by a query")
        .next("SELECT, EXPLAIN, SHOW or DESCRIBE")
}

/// Why DataFusion did not answer.
pub(crate) fn refusal(error: &DataFusionError, asked: &Asked) -> Failure {
    let root = error.find_root();
    let text = root.strip_backtrace();
    match root {
        DataFusionError::ResourcesExhausted(_) => Failure::new(
            Exit::Failed,
            "the query needs more memory than it may take",
        )
        .fact("limit", format!("--memory {}", size(asked.memory)))
        .cause(text)
        .next(format!(
            "--memory {}, or fewer rows: WHERE dt = …, fewer groups, no ORDER BY of everything",
            size(asked.memory.saturating_mul(4))
        )),
        DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::SQL(..)
        | DataFusionError::Diagnostic(..)
        | DataFusionError::NotImplemented(_) => {
            let is_verb = ["DDL not supported", "DML not supported", "Statement not supported"];
            if is_verb.iter().any(|verb| text.contains(verb)) {
                return reads_only(text.rsplit(": ").next().unwrap_or("this"));
            }
            Failure::new(Exit::Usage, "the query can't be planned")
                .cause(text)
                .next("headwater sql \"SHOW TABLES\", or \"DESCRIBE samples\"")
        }
        _ => Failure::new(Exit::Failed, "the query failed").cause(text),
    }
}

/// A size as a flag takes it.
pub(crate) fn size(bytes: u64) -> String {
    let (mib, rest) = (bytes >> 20, bytes % (1 << 20));
    if rest == 0 { format!("{mib}MiB") } else { format!("{bytes}B") }
}

/// The time is up.
pub(crate) fn too_long(asked: &Asked) -> Failure {
    let limit_s = asked.timeout.as_secs_f64();
    Failure::new(Exit::Unreachable, "the query takes longer than it may")
        .fact("limit", format!("--timeout {limit_s} s"))
        .cause("nothing of its answer is complete")
        .next("--timeout 5m, or fewer files: WHERE dt = '2026-11-28' AND hour = 13")
}
