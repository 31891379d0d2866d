//! Two ends of a TLS connection, with the bytes carried by hand.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, Error, ServerConfig, ServerConnection,
};

pub(crate) struct Session {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
    pub(crate) client_error: Option<Error>,
    pub(crate) server_error: Option<Error>,
}

impl Session {
    /// Carries bytes until neither side has any more.
    pub(crate) fn between(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Self {
        let mut session = Self::prepared(client, server);
        session.settle();
        session
    }

    /// Carries nothing yet.
    pub(crate) fn prepared(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Self {
        // Agents connect to whatever host the token names; the name is not what is verified.
        let host = "any-name.example.net".try_into().unwrap();
        Self {
            client: ClientConnection::new(client, host).unwrap(),
            server: ServerConnection::new(server).unwrap(),
            client_error: None,
            server_error: None,
        }
    }

    pub(crate) fn settle(&mut self) {
        loop {
            let to_server = carry(&mut self.client, &mut self.server, &mut self.server_error);
            let to_client = carry(&mut self.server, &mut self.client, &mut self.client_error);
            if to_server + to_client == 0 {
                return;
            }
        }
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.client_error.is_none()
            && self.server_error.is_none()
            && !self.client.is_handshaking()
            && !self.server.is_handshaking()
    }

    pub(crate) fn send_to_server(&mut self, message: &[u8]) -> Vec<u8> {
        self.client.writer().write_all(message).unwrap();
        self.settle();
        received(&mut self.server)
    }

    pub(crate) fn send_to_client(&mut self, message: &[u8]) -> Vec<u8> {
        self.server.writer().write_all(message).unwrap();
        self.settle();
        received(&mut self.client)
    }
}

/// Returns the plaintext that has arrived.
pub(crate) fn received<Side>(end: &mut ConnectionCommon<Side>) -> Vec<u8> {
    let mut plaintext = Vec::new();
    match end.reader().read_to_end(&mut plaintext) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("read plaintext: {error}"),
        Ok(_) | Err(_) => plaintext,
    }
}

fn carry<From, To>(
    from: &mut ConnectionCommon<From>,
    to: &mut ConnectionCommon<To>,
    error: &mut Option<Error>,
) -> usize
where
    To: rustls::SideData,
{
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut rest = wire.as_slice();
    while !rest.is_empty() && error.is_none() {
        to.read_tls(&mut rest).unwrap();
        if let Err(fault) = to.process_new_packets() {
            *error = Some(fault);
        }
    }
    wire.len()
}
