//! The end of the process where the state of a file is unknown.

use std::error::Error;

/// Ends the process: after a commit that failed, what is on the disk is not known. The service manager
/// starts it again, and recovery reads what is there. Nothing that was not durable has been acked.
pub(crate) fn end_process(what: &str, error: &(dyn Error + 'static)) -> ! {
    let mut causes = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        causes = format!("{causes}: {cause}");
        source = cause.source();
    }
    tracing::error!(
        "{what}: {causes}; the state of the file is unknown, so this process ends: nothing that was \
         acked is lost, and the next start reads what is on the disk"
    );
    std::process::exit(1)
}
