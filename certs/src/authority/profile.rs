//! What each kind of certificate may do and how long it lives.

use std::net::IpAddr;
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::{ServerName, UnixTime};

use super::issue::VALIDITY_BACKDATED;
use crate::identity::Serial;
use crate::name::{Pin, SpiffeId, TrustDomain, domain_uri};

/// First and last second of a certificate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
}

impl Validity {
    /// Starts a little before `now` and lasts for `length` after it, but not beyond `end`.
    pub(super) fn starting(now: UnixTime, length: Duration, end: UnixTime) -> Self {
        let start = now.as_secs().saturating_sub(VALIDITY_BACKDATED.as_secs());
        let stop = now.as_secs().saturating_add(length.as_secs()).min(end.as_secs());
        Self { not_before: unix_time(start), not_after: unix_time(stop) }
    }
}

/// Returns what a root is: it signs intermediates, and these sign leaves only.
pub(super) fn root(
    trust_domain: &TrustDomain,
    key: &KeyPair,
    now: UnixTime,
) -> Result<CertificateParams, getrandom::Error> {
    let mut params = authority("root", trust_domain, key)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    apply(&mut params, Validity::starting(now, ROOT_VALIDITY, TIME_MAX));
    Ok(params)
}

/// Returns what an intermediate is: it signs leaves for TLS and nothing else.
pub(super) fn issuing(
    trust_domain: &TrustDomain,
    key: &KeyPair,
    now: UnixTime,
) -> Result<CertificateParams, getrandom::Error> {
    let mut params = authority("issuing", trust_domain, key)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    apply(&mut params, Validity::starting(now, ISSUING_VALIDITY, issuing_not_after(now)));
    Ok(params)
}

/// Returns the last second of an intermediate that is made at `now`.
pub(super) fn issuing_not_after(now: UnixTime) -> UnixTime {
    Validity::starting(now, ISSUING_VALIDITY, TIME_MAX).not_after
}

fn authority(
    kind: &str,
    trust_domain: &TrustDomain,
    key: &KeyPair,
) -> Result<CertificateParams, getrandom::Error> {
    let mut params = CertificateParams::default();
    // The key's hash keeps the names of two authorities apart; otherwise a chain to the wrong one
    // would fail as a bad signature instead of an unknown issuer.
    let pin = Pin::of_public_key(&key.subject_public_key_info());
    let mark: String = pin.as_bytes()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name = subject(trust_domain, &format!("Headwater {kind} {mark}"));
    params.subject_alt_names = vec![uri(&domain_uri(trust_domain))];
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from_slice(Serial::random()?.digits()));
    Ok(params)
}

/// Returns what a leaf is: it signs handshakes for one identity, in the roles its usages allow.
pub(super) fn leaf(id: &SpiffeId, serial: Serial, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = match id {
        SpiffeId::Device { device, .. } => device.to_string(),
        SpiffeId::Node { node, .. } => node.to_string(),
    };
    params.distinguished_name = subject(id.trust_domain(), &name);
    params.subject_alt_names = vec![uri(&id.to_string())];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match id {
        SpiffeId::Device { .. } => vec![ExtendedKeyUsagePurpose::ClientAuth],
        SpiffeId::Node { .. } => {
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
        }
    };
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(SerialNumber::from_slice(serial.digits()));
    apply(&mut params, validity);
    params
}

/// Returns a host name or address as an alternative name.
pub(super) fn host(name: &ServerName<'_>) -> Option<SanType> {
    match name {
        ServerName::DnsName(dns) => Ia5String::try_from(dns.as_ref()).ok().map(SanType::DnsName),
        ServerName::IpAddress(address) => Some(SanType::IpAddress(IpAddr::from(*address))),
        _ => None,
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).expect("the names in a URI are ASCII by construction"))
}

fn subject(trust_domain: &TrustDomain, name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, trust_domain.as_str());
    subject.push(DnType::CommonName, name);
    subject
}

fn apply(params: &mut CertificateParams, validity: Validity) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let clamped = |time: UnixTime| Duration::from_secs(time.as_secs().min(TIME_MAX.as_secs()));
    params.not_before = epoch + clamped(validity.not_before);
    params.not_after = epoch + clamped(validity.not_after);
}

fn unix_time(unix_s: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(unix_s))
}

const DAY: Duration = Duration::from_secs(86_400);

/// Devices pin the root and learn another one only while they are connected, so it outlives any
/// device. Its key can be kept offline.
const ROOT_VALIDITY: Duration = Duration::from_secs(20 * 365 * DAY.as_secs());

/// The intermediate's key is online, so it lives shorter; it is replaced under the same root, which
/// no device notices.
const ISSUING_VALIDITY: Duration = Duration::from_secs(5 * 365 * DAY.as_secs());

/// 9999-12-31T23:59:59Z, the end of what a certificate can express. Source: RFC 5280, section
/// 4.1.2.5.
const TIME_MAX: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(253_402_300_799));
