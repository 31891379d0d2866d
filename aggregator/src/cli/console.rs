//! `headwater console`: the way in.

use std::time::Duration;

use super::client::Client;
use super::failure::Failure;
use super::output::{Output, units};
use crate::api::rows::ConsoleLink;

/// Asks for a one-time link and prints it.
///
/// # Errors
/// What the aggregator says, or that it can't be reached.
pub(crate) async fn run(client: &Client, output: &Output) -> Result<(), Failure> {
    let link: ConsoleLink = client.post("/api/v1/console/links", &()).await?;
    if output.is_json() {
        return output.document(&link);
    }
    output.text(&format!("{}\n", link.url))?;
    let life = units::duration(Duration::from_secs(link.life_seconds));
    output.note(&format!(
        "the link opens one session within {life} · console http://{}",
        link.address
    ));
    Ok(())
}
