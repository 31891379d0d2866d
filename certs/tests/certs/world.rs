//! One authority with one node and as many devices as a test asks for, at a fixed time.

use std::sync::Arc;
use std::time::Duration;

use headwater_certs::authority::{Authority, DEVICE_VALIDITY, NODE_VALIDITY};
use headwater_certs::csr::DeviceKey;
use headwater_certs::identity::{DeviceIdentity, NodeIdentity};
use headwater_certs::name::DeviceUuid;
use headwater_certs::tls::{self, ExpiredDevices};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::UnixTime;

/// 2027-01-15T08:00:00Z.
pub(crate) const START_UNIX_S: u64 = 1_800_000_000;
pub(crate) const DAY_S: u64 = 86_400;
pub(crate) const DOMAIN: &str = "fleet.example.com";

pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) node: NodeIdentity,
}

impl World {
    pub(crate) fn new() -> Self {
        let authority = Authority::create(DOMAIN.parse().unwrap(), at(0)).unwrap();
        let node = node_of(&authority);
        Self { authority, node }
    }

    pub(crate) fn device(&self) -> DeviceIdentity {
        let key = DeviceKey::generate().unwrap();
        let csr = key.csr_der().unwrap();
        let device = DeviceUuid::random().unwrap();
        let issued = self.authority.issue_device(&csr, device, DEVICE_VALIDITY, at(0)).unwrap();
        DeviceIdentity::new(issued.chain, &key, self.authority.bundle()).unwrap()
    }

    pub(crate) fn agent_config(&self) -> Arc<ClientConfig> {
        tls::agent_client_config(&self.device(), clock(at(0))).unwrap()
    }

    pub(crate) fn enrol_config(&self) -> Arc<ServerConfig> {
        tls::enrol_server_config(&self.node, clock(at(0))).unwrap()
    }

    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        self.server_config_at(ExpiredDevices::Refuse, at(0))
    }

    pub(crate) fn server_config_at(
        &self,
        expired: ExpiredDevices,
        now: UnixTime,
    ) -> Arc<ServerConfig> {
        tls::node_server_config(&self.node, expired, clock(now)).unwrap()
    }
}

pub(crate) fn node_of(authority: &Authority) -> NodeIdentity {
    let hosts = ["agg-1.example.com".try_into().unwrap(), "192.0.2.1".try_into().unwrap()];
    authority.issue_node(&"agg-1".parse().unwrap(), &hosts, NODE_VALIDITY, at(0)).unwrap()
}

/// Returns a time by its distance from the start.
pub(crate) fn at(second: i64) -> UnixTime {
    let unix_s = START_UNIX_S.checked_add_signed(second).unwrap();
    UnixTime::since_unix_epoch(Duration::from_secs(unix_s))
}

pub(crate) fn days(count: u64) -> i64 {
    i64::try_from(count * DAY_S).unwrap()
}

/// Returns a clock that stands still.
pub(crate) fn clock(now: UnixTime) -> Arc<dyn TimeProvider> {
    Arc::new(Still(now))
}

#[derive(Debug)]
struct Still(UnixTime);

impl TimeProvider for Still {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}
