//! Makes the certificates of the zoo, with keys that a real attacker would not have.

use std::sync::Arc;
use std::time::Duration;

use headwater_certs::authority::Authority;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::world::{DOMAIN, START_UNIX_S, World, at, node_of};

/// Whose key signs an animal.
#[derive(Clone, Copy)]
pub(crate) enum Signer {
    Authority,
    Other,
    /// Another authority that calls itself like ours.
    Namesake,
    Device,
    Itself,
}

#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) params: CertificateParams,
    signer: Signer,
    alone: bool,
    other_key: bool,
}

impl Plan {
    pub(crate) fn valid(mut self, from: i64, to: i64) -> Self {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        self.params.not_before = epoch + seconds(START_UNIX_S.checked_add_signed(from).unwrap());
        self.params.not_after = epoch + seconds(START_UNIX_S.checked_add_signed(to).unwrap());
        self
    }

    pub(crate) fn signed_by(mut self, signer: Signer) -> Self {
        self.signer = signer;
        self
    }

    pub(crate) fn self_signed(self) -> Self {
        self.signed_by(Signer::Itself)
    }

    pub(crate) fn authority(mut self) -> Self {
        self.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self
    }

    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    pub(crate) fn other_key(mut self) -> Self {
        self.other_key = true;
        self
    }
}

pub(crate) struct Zoo {
    pub(crate) world: World,
    /// Holds the keys of the world's authority, which its interface does not give away.
    keys: tempfile::TempDir,
}

impl Zoo {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let keys = tempfile::tempdir().unwrap();
        world.authority.save(&keys.path().join("ca")).unwrap();
        Self { world, keys }
    }

    pub(crate) fn plan(&self, uris: &[&str], usage: ExtendedKeyUsagePurpose) -> Plan {
        let mut params = CertificateParams::default();
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
        params.subject_alt_names = uris.collect();
        params.extended_key_usages = vec![usage];
        Plan { params, signer: Signer::Authority, alone: false, other_key: false }.valid(-100, 100)
    }

    pub(crate) fn client(&self, plan: &Plan) -> Arc<ClientConfig> {
        let mut config = (*self.world.agent_config()).clone();
        config.client_auth_cert_resolver = Arc::new(self.breed(plan));
        Arc::new(config)
    }

    pub(crate) fn server(&self, plan: &Plan) -> Arc<ServerConfig> {
        let mut config = (*self.world.server_config()).clone();
        config.cert_resolver = Arc::new(self.breed(plan));
        Arc::new(config)
    }

    /// Makes the certificate and shows the roots above it, as an enrolment server does.
    pub(crate) fn breed_with_root(&self, plan: &Plan) -> SingleCertAndKey {
        let (mut chain, key) = self.chain(plan);
        chain.extend(self.world.authority.bundle());
        certified(chain, key)
    }

    fn breed(&self, plan: &Plan) -> SingleCertAndKey {
        let (chain, key) = self.chain(plan);
        certified(chain, key)
    }

    fn chain(&self, plan: &Plan) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let issuing = self.read("issuing.crt");
        let (leaf, above) = match plan.signer {
            Signer::Authority => {
                let signer = KeyPair::from_pem(&self.read("issuing.key")).unwrap();
                let issuer = Issuer::from_ca_cert_pem(&issuing, signer).unwrap();
                (plan.params.signed_by(&key, &issuer).unwrap(), self.world.node.chain()[1].clone())
            }
            Signer::Other => {
                let other = Authority::create(DOMAIN.parse().unwrap(), at(0)).unwrap();
                let folder = self.keys.path().join("other");
                other.save(&folder).unwrap();
                let certificate = std::fs::read_to_string(folder.join("issuing.crt")).unwrap();
                let signer = std::fs::read_to_string(folder.join("issuing.key")).unwrap();
                std::fs::remove_dir_all(&folder).unwrap();
                let signer = KeyPair::from_pem(&signer).unwrap();
                let issuer = Issuer::from_ca_cert_pem(&certificate, signer).unwrap();
                (plan.params.signed_by(&key, &issuer).unwrap(), node_of(&other).chain()[1].clone())
            }
            Signer::Namesake => {
                let signer = KeyPair::generate().unwrap();
                let issuer = Issuer::from_ca_cert_pem(&issuing, signer).unwrap();
                (plan.params.signed_by(&key, &issuer).unwrap(), self.world.node.chain()[1].clone())
            }
            Signer::Device => {
                let device = self.world.device();
                let PrivateKeyDer::Pkcs8(signer) = device.key() else { unreachable!() };
                let signer = KeyPair::try_from(&signer).unwrap();
                let issuer = Issuer::from_ca_cert_der(&device.chain()[0], signer).unwrap();
                (plan.params.signed_by(&key, &issuer).unwrap(), device.chain()[0].clone())
            }
            Signer::Itself => {
                let leaf = plan.params.self_signed(&key).unwrap();
                (leaf, self.world.node.chain()[1].clone())
            }
        };
        let mut chain = vec![leaf.der().clone(), above];
        chain.truncate(if plan.alone { 1 } else { 2 });
        let shown = if plan.other_key { KeyPair::generate().unwrap() } else { key };
        (chain, PrivatePkcs8KeyDer::from(shown.serialize_der()).into())
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.keys.path().join("ca").join(name)).unwrap()
    }
}

/// Pairs a chain with a key without asking whether they fit.
pub(crate) fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> SingleCertAndKey {
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    SingleCertAndKey::from(CertifiedKey::new(chain, key))
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
