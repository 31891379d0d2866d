//! One query: what it may do, what it reads, and its rows.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{FunctionRegistry, SendableRecordBatchStream};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;

use crate::failure::{Exit, Failure};
use crate::files::LeftOut;
use crate::node::{self, Rest};
use crate::refusal::{refusal, refused_statement, size};
use crate::store::{Held, Source};
use crate::table::{HistoryTable, STORE};
use crate::{files, json, schema, spots};

/// What a query is given.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) sql: String,
    pub(crate) history: Option<PathBuf>,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) memory: u64,
    pub(crate) timeout: Duration,
    pub(crate) rest_bytes: u64,
    pub(crate) threads: usize,
}

/// A query that runs.
pub(crate) struct Running {
    /// Its columns.
    pub(crate) schema: SchemaRef,
    /// Its rows.
    pub(crate) rows: SendableRecordBatchStream,
    /// What people should know of it, whatever it answers.
    pub(crate) notes: Vec<String>,
    /// What is not in it and should be.
    pub(crate) missing: Vec<String>,
    left_out: Arc<Mutex<Vec<LeftOut>>>,
}

impl Running {
    /// Files that are left out, each once.
    pub(crate) fn left_out(&self) -> Vec<LeftOut> {
        let mut all = self.left_out.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_by(|one, other| one.path.cmp(&other.path));
        all.dedup();
        all
    }
}

/// Plans a query and starts it.
///
/// # Errors
/// If it is no query that only reads, or what it needs is not there.
pub(crate) async fn start(asked: &Asked) -> Result<Running, Failure> {
    let held = Held::default();
    let context = context(asked, &held)?;
    let statement = parse(&asked.sql)?;
    refused_statement(&statement)?;
    let wanted = context.state().resolve_table_references(&statement);
    let wanted = wanted.map_err(|error| refusal(&error, asked))?;
    let wanted: Vec<String> = wanted.iter().map(|table| table.table().to_owned()).collect();
    let (history, rest) = reach(asked, &wanted)?;
    let left_out = Arc::new(Mutex::new(Vec::new()));
    let (mut notes, mut missing) = (Vec::new(), Vec::new());
    tell(&wanted, rest.as_ref(), asked, (&mut notes, &mut missing));
    register(&context, history, rest.unwrap_or_default(), (&held, &left_out))?;
    let planned = context.state().statement_to_plan(statement).await;
    let plan = planned.map_err(|error| refusal(&error, asked))?;
    let reads_only =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    reads_only.verify_plan(&plan).map_err(|error| refusal(&error, asked))?;
    let (schema, rows) = run(&context, plan).await.map_err(|error| refusal(&error, asked))?;
    Ok(Running { schema, rows, notes, missing, left_out })
}

async fn run(
    context: &SessionContext,
    plan: LogicalPlan,
) -> Result<(SchemaRef, SendableRecordBatchStream), DataFusionError> {
    let rows = context.execute_logical_plan(plan).await?.execute_stream().await?;
    Ok((rows.schema(), rows))
}

/// A session with nothing in it but its limits.
fn context(asked: &Asked, held: &Held) -> Result<SessionContext, Failure> {
    let failed = |error: DataFusionError| {
        Failure::new(Exit::Failed, "cannot start a query").cause(error.to_string())
    };
    let memory = usize::try_from(asked.memory).unwrap_or(usize::MAX);
    let pool = TrackConsumersPool::new(FairSpillPool::new(memory), CONSUMERS_NAMED);
    // Nothing is written to a disk, which may be the one that intake needs.
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(failed)?;
    let url = STORE.parse().expect("the address of the store is one");
    runtime.register_object_store(&url, Arc::new(held.clone()));
    let config =
        SessionConfig::new().with_information_schema(true).with_target_partitions(asked.threads);
    let context = SessionContext::new_with_config_rt(config, runtime);
    context.register_udf(json::json_text());
    let state = context.state_ref();
    let planned = state.write().register_expr_planner(Arc::new(json::Arrows));
    planned.map_err(failed)?;
    Ok(context)
}

/// Operators that a message names when memory is short.
const CONSUMERS_NAMED: std::num::NonZeroUsize = std::num::NonZeroUsize::new(3).expect("three");

fn parse(sql: &str) -> Result<Statement, Failure> {
    // Of all dialects the one in which `->>` binds closer than `=`.
    let parsed = DFParser::parse_sql_with_dialect(sql, &PostgreSqlDialect {});
    let mut statements = parsed.map_err(|error| {
        Failure::new(Exit::Usage, "this is no SQL")
            .cause(error.strip_backtrace())
            .next("headwater sql --help")
    })?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (None, _) => {
            Err(Failure::new(Exit::Usage, "there is no query")
                .next("headwater sql \"SHOW TABLES\""))
        }
        (Some(_), false) => Err(Failure::new(Exit::Usage, "there is more than one query")
            .next("headwater sql, once for each")),
    }
}

/// The folder of the files, and the rest. Nobody is asked for the rest of nothing.
fn reach(asked: &Asked, wanted: &[String]) -> Result<(PathBuf, Option<Rest>), Failure> {
    let is_of_log = |table: &&String| schema::is_of_records(table);
    let of_log: Vec<String> = wanted.iter().filter(is_of_log).cloned().collect();
    let rest = match &asked.socket {
        Some(socket) if asked.history.is_none() || !of_log.is_empty() => {
            node::rest(socket, &of_log, asked.rest_bytes, asked.timeout)?
        }
        Some(_) | None => None,
    };
    let told = rest.as_ref().map(|rest| rest.history.clone());
    let history = told.or_else(|| asked.history.clone()).ok_or_else(|| {
        let socket = asked.socket.as_ref();
        let tried = socket.map(|socket| format!("unix:{}", socket.display()));
        let failure = Failure::new(Exit::NotFound, "cannot find the history");
        let failure = tried.into_iter().fold(failure, |failure, it| failure.fact("tried", it));
        failure
            .cause("no aggregator answers there, and no folder is named")
            .next("headwater up, or headwater serve; or headwater-sql --history DIR")
    })?;
    Ok((history, rest))
}

/// What people should know, and what is missing.
fn tell(
    wanted: &[String],
    rest: Option<&Rest>,
    asked: &Asked,
    (notes, missing): (&mut Vec<String>, &mut Vec<String>),
) {
    let is_of_log = |table: &String| schema::is_of_records(table);
    let Some(rest) = rest else {
        if wanted.iter().any(is_of_log) {
            let who = asked.socket.as_ref().map_or_else(
                || "no aggregator was asked".to_owned(),
                |socket| format!("no aggregator answers at unix:{}", socket.display()),
            );
            notes.push(format!("{who}: rows of files alone, without those that are in none yet"));
        }
        return;
    };
    if let Some(from) = rest.cuts.values().min() {
        missing.push(format!(
            "rows of {} shards are not in any file and more than --rest {} has room for: those that came after {from} are \
             missing. headwater sinks says why the history is behind",
            rest.cuts.len(),
            size(asked.rest_bytes),
        ));
    }
}

/// Makes every table of the history one of the session.
fn register(
    context: &SessionContext,
    history: PathBuf,
    mut rest: Rest,
    (held, left_out): (&Held, &Arc<Mutex<Vec<LeftOut>>>),
) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::new(Exit::Failed, "cannot read the history")
            .fact("where", history.display().to_string())
            .cause(error.to_string())
    };
    let mut names: Vec<String> = schema::known().map(str::to_owned).collect();
    let found = spots::tables(&history).or_else(|error| match error.kind() {
        // Nothing was written yet; or the folder is none, which whoever named it is told.
        std::io::ErrorKind::NotFound if !rest.tables.is_empty() => Ok(Vec::new()),
        _ => Err(error),
    });
    names.extend(found.map_err(|error| failed(&error))?);
    names.sort();
    names.dedup();
    let cursors = Arc::new(std::mem::take(&mut rest.cursors));
    for name in names {
        let (columns, keys) = columns(&history, &name).map_err(|error| failed(&error))?;
        if columns.is_empty() {
            continue;
        }
        let of_table = rest.files.remove(&name).unwrap_or_default();
        let table = HistoryTable {
            history: history.clone(),
            schema: schema::table_schema(columns, &keys),
            cursors: rest.tables.contains(&name).then(|| Arc::clone(&cursors)),
            rest: of_table.into_iter().map(|(spot, it)| (spot, Source::Memory(it))).collect(),
            held: held.clone(),
            left_out: Arc::clone(left_out),
            name: name.clone(),
        };
        context.register_table(name, Arc::new(table)).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Columns of a table and keys of its paths: what is known, and what its newest files have beyond.
fn columns(
    history: &std::path::Path,
    table: &str,
) -> std::io::Result<(Vec<FieldRef>, Vec<String>)> {
    let (mut columns, spots) = (schema::known_columns(table), spots::of(history, table)?);
    let keys = match (columns.is_empty(), spots.last()) {
        (true, Some(spot)) => spot.values.iter().map(|(key, _)| key.clone()).collect(),
        _ => schema::known_keys(),
    };
    for spot in spots.iter().rev().take(SPOTS_LOOKED_AT) {
        // What can't be read there is told by the query that reads it.
        if let Ok(Some(about)) = files::newest(&history.join(&spot.folder)) {
            schema::add(&mut columns, &about).map_err(std::io::Error::other)?;
        }
    }
    Ok((columns, keys))
}

/// Folders of which a file is looked at for more columns, the newest ones: some may have none that can be read.
const SPOTS_LOOKED_AT: usize = 8;

#[cfg(test)]
mod tests;
