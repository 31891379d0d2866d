//! The node's own certificate: issued at each start, and again at two thirds of its life.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater_certs::UnixTime;
use headwater_certs::authority::{Authority, IssueError, NODE_VALIDITY};
use headwater_certs::tls::{
    Clock, ConfigError, ExpiredDevices, enrol_server_config, node_server_config,
};
use rustls::pki_types::ServerName;
use tokio::sync::watch;

use crate::config::Config;
use crate::enrol::EnrolHandle;
use crate::intake::IntakeHandle;

/// What both listeners show.
pub(super) struct Tls {
    pub(super) devices: Arc<rustls::ServerConfig>,
    pub(super) enrolment: Arc<rustls::ServerConfig>,
}

/// Issues the node's certificates.
pub(super) struct Certificates {
    authority: Arc<Authority>,
    clock: Arc<Clock>,
    name: String,
    hosts: Vec<String>,
}

/// Why the node has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It can't be issued.
    #[error("issue the node's certificate")]
    Issue(#[source] IssueError),
    /// It can't be used.
    #[error("use the node's certificate")]
    Config(#[source] ConfigError),
}

impl Certificates {
    pub(super) fn new(config: &Config, authority: Arc<Authority>) -> Self {
        let mut hosts = vec!["localhost".to_owned(), config.node.name.clone()];
        hosts.extend(config.intake.advertise.as_ref().map(|it| it.host().to_owned()));
        let listen = [config.intake.listen.ip(), config.enrol.listen.ip()];
        let known = listen.into_iter().filter(|ip| !ip.is_unspecified());
        hosts.extend(known.map(|ip: IpAddr| ip.to_string()));
        Self { authority, clock: Arc::default(), name: config.node.name.clone(), hosts }
    }

    /// A key and a certificate for both listeners.
    pub(super) fn issue(&self) -> Result<Tls, IdentityError> {
        let node = self.name.parse().expect("the configuration checked the node's name");
        // Agents compare role and realm, not host names: one that can't stand in a certificate is left out.
        let hosts = self.hosts.iter().filter_map(|host| ServerName::try_from(host.clone()).ok());
        let hosts: Vec<ServerName<'static>> = hosts.collect();
        let identity = self
            .authority
            .issue_node(&node, &hosts, NODE_VALIDITY, UnixTime::now())
            .map_err(IdentityError::Issue)?;
        let clock = || Arc::clone(&self.clock) as _;
        let devices = node_server_config(&identity, ExpiredDevices::Refuse, clock());
        let enrolment = enrol_server_config(&identity, clock());
        Ok(Tls {
            devices: devices.map_err(IdentityError::Config)?,
            enrolment: enrolment.map_err(IdentityError::Config)?,
        })
    }

    /// Issues again before the certificate ends, until the node stops.
    pub(super) async fn renew(
        self,
        intake: IntakeHandle,
        enrol: EnrolHandle,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut wait = NODE_VALIDITY * 2 / 3;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stopped.changed() => return,
            }
            let renewed = self.issue().map(|tls| {
                enrol.set_tls(tls.enrolment);
                intake.set_tls(tls.devices)
            });
            wait = match renewed {
                Ok(Ok(())) => NODE_VALIDITY * 2 / 3,
                Ok(Err(error)) => retry(&error),
                Err(error) => retry(&error),
            };
        }
    }
}

/// There are days left: an hour later may be better.
fn retry(error: &dyn std::error::Error) -> Duration {
    let cause = error.source().map(ToString::to_string);
    tracing::error!(%error, cause, "renew the node's certificate; trying again in an hour");
    Duration::from_secs(3_600)
}
