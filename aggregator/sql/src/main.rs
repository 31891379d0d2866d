//! SQL over the history of an aggregator: `headwater sql` runs this program.
//!
//! It is a process of its own, so that no query can hurt intake: memory, processor time and open files are bounded by the kernel,
//! and it gives way to whoever else wants the processor. It only reads. Each row that was applied is in its answer once: the
//! aggregator is asked where the files of each shard end and for the rows that come after (the rest), and of the files only what
//! lies before is read, from one list of each folder whose files are all held open. A file that is not as it was written is
//! named and left out.
//!
//! It links nothing of the aggregator, which links nothing of DataFusion.

mod args;
mod cut;
mod failure;
mod files;
mod json;
mod limits;
mod node;
mod output;
mod query;
mod refusal;
mod schema;
mod seal;
mod spots;
mod store;
mod table;

use std::io::{BufWriter, ErrorKind, Read, Write};
use std::process::ExitCode;

use clap::Parser;

use args::Args;
use failure::{Exit, Failure, chain};
use output::{PrintError, Printed};
use query::Asked;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // A terminal that can't be written has nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.code() } else { ExitCode::SUCCESS };
        }
    };
    match run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => Exit::Partly.code(),
        Err(failure) => {
            failure.report();
            failure.exit.code()
        }
    }
}

/// Answers a query; whether nothing is missing in the answer.
fn run(args: Args) -> Result<bool, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    limits::bound(args.memory, args.timeout, threads)?;
    let asked = Asked {
        sql: sql(&args.query)?,
        history: args.history.clone(),
        socket: args.socket.clone(),
        memory: args.memory,
        timeout: args.timeout,
        rest_bytes: args.rest,
        threads,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(Exit::Failed, "cannot start the runtime").cause(error.to_string())
        })?;
    let (timeout, late) = (args.timeout, refusal::too_long(&asked));
    // On a thread of the runtime, whose stack is deep enough for long conditions.
    let answered = runtime.spawn(async move { answer(&args, &asked).await });
    let answered = runtime.block_on(async { tokio::time::timeout(timeout, answered).await });
    // What still runs after its time is not waited for.
    runtime.shutdown_background();
    let Ok(answered) = answered else { return Err(late) };
    let broken = |error| Failure::new(Exit::Failed, "the query failed").cause(chain(&error));
    answered.map_err(broken)?
}

/// Threads that work on a query: more would not make a query faster that reads one disk.
const THREADS_MAX: usize = 8;
/// A condition of ten thousand parts is planned by calls that are as deep.
const STACK_BYTES: usize = 32 << 20;
/// Bytes of a query.
const QUERY_BYTES_MAX: u64 = 1 << 20;

fn sql(query: &str) -> Result<String, Failure> {
    if query != "-" {
        return Ok(query.to_owned());
    }
    let mut sql = String::new();
    let read = std::io::stdin().take(QUERY_BYTES_MAX + 1).read_to_string(&mut sql);
    read.map_err(|error| {
        Failure::new(Exit::Usage, "cannot read the query").cause(error.to_string())
    })?;
    if sql.len() as u64 > QUERY_BYTES_MAX {
        return Err(Failure::new(Exit::Usage, "the query is longer than 1 MiB"));
    }
    Ok(sql)
}

async fn answer(args: &Args, asked: &Asked) -> Result<bool, Failure> {
    let mut running = query::start(asked).await?;
    if !args.quiet {
        running.notes.iter().for_each(|text| note(text));
    }
    let out = BufWriter::new(std::io::stdout());
    let printed = output::print(&mut running, (args.format, args.wide), args.limit, out).await;
    let left_out = running.left_out();
    for file in &left_out {
        note(&format!("left out: {}: {}", file.path, file.why));
    }
    running.missing.iter().for_each(|text| note(text));
    let printed = match printed {
        Ok(printed) => printed,
        // Whoever read them has enough.
        Err(PrintError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => {
            Printed::default()
        }
        Err(PrintError::Query(error)) => return Err(refusal::refusal(&error, asked)),
        Err(error) => {
            return Err(Failure::new(Exit::Failed, "cannot print the answer").cause(chain(&error)));
        }
    };
    if printed.is_cut && !args.quiet {
        note(&format!("the first {} rows; there are more: --limit 0 shows all", printed.rows));
    }
    if !left_out.is_empty() {
        let (files, are) =
            (left_out.len(), if left_out.len() == 1 { "file is" } else { "files are" });
        note(&format!(
            "{files} {are} left out of this answer; put them back from a backup, or move them away"
        ));
    }
    Ok(left_out.is_empty() && running.missing.is_empty())
}

fn note(text: &str) {
    // Where standard error is closed there is nobody left to tell.
    let _ = writeln!(anstream::stderr().lock(), "{}", failure::visible(text));
}
