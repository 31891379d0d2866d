//! `headwater tokens`: inviting devices.

use super::args::Tokens;
use super::client::{Client, encoded};
use super::failure::Failure;
use super::output::table::{Cell, Side, Table, Tone};
use super::output::{Output, units};
use crate::api::rows::{NewToken, TokenRow, TokenWish};

/// Makes, lists or revokes join tokens.
///
/// # Errors
/// What the aggregator says, or that it can't be reached.
pub(crate) async fn run(client: &Client, output: &Output, command: Tokens) -> Result<(), Failure> {
    match command {
        Tokens::Create { uses, life } => {
            let wish = TokenWish { uses, life_seconds: life.map(|life| life.as_secs()) };
            let token: NewToken = client.post("/api/v1/tokens", &wish).await?;
            created(output, &token)
        }
        Tokens::Ls => list(output, &client.get::<Vec<TokenRow>>("/api/v1/tokens").await?),
        Tokens::Revoke { id } => {
            let path = format!("/api/v1/tokens/{}", encoded(&id));
            let token: TokenRow = client.delete(&path).await?;
            output.note(&format!("token {} is revoked", token.id));
            Ok(())
        }
    }
}

/// The token alone goes to standard output, so that `$(headwater tokens create)` holds it.
fn created(output: &Output, token: &NewToken) -> Result<(), Failure> {
    if !(output.is_human() || output.format == super::output::Format::Plain) {
        return output.document(token);
    }
    output.text(&format!("{}\n", token.token))?;
    let devices =
        if token.uses == 1 { "one device".to_owned() } else { format!("{} devices", token.uses) };
    output.note(&format!(
        "for {devices}, until {}, at {} · it is not shown again, id {}\n\
         next, on the host that joins: headwater-agent enrol --token-stdin",
        units::time_to_second(token.expires.0),
        token.addresses.join(" "),
        token.id.get(..8).unwrap_or(&token.id),
    ));
    Ok(())
}

fn list(output: &Output, rows: &[TokenRow]) -> Result<(), Failure> {
    let mut table = Table::new(&[
        ("id", Side::Left),
        ("state", Side::Left),
        ("uses_left", Side::Right),
        ("expires", Side::Left),
        ("created", Side::Left),
        ("creator", Side::Left),
    ]);
    for row in rows {
        let tone = if row.state == "valid" { Tone::Good } else { Tone::Plain };
        table.row([
            row.id.as_str().into(),
            Cell::from(row.state.as_str()).toned(tone),
            Cell::number(u64::from(row.uses_left)),
            Cell::time(row.expires.0),
            Cell::time(row.created.0),
            row.creator.as_str().into(),
        ]);
    }
    output.rows(rows, table)?;
    if rows.is_empty() {
        output.note("no token · next: headwater tokens create");
    }
    Ok(())
}
