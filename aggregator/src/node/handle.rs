//! The handle of a running node.

mod alerts;
mod history;
mod rest;
mod sinks;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headwater_certs::token::Address;
use headwater_protocol::codec::DecodeError;
use headwater_protocol::entry::Entry;
use headwater_protocol::identity::{DeviceId, LogId, Offset, ShardCount, ShardId};
use tokio::sync::broadcast;

use super::shown;
use super::topology::{Stages, enrolling};
use super::verify::{self, VerifyError, VerifyProgress, VerifyReport};
use super::view::{CreatedToken, DeviceView, LiveView, TokenView};
use crate::clock::wall_us;
use crate::fold::{AppliedBatch, ReplayError};
use crate::limits::ByteCount;
use crate::log::{Log, ReadError};
use crate::metrics::{LatencyCounts, VerdictLabel, VerdictWord};
use crate::registry::{Actor, RegistryError, RestoredRecord, ServeError, TokenError, TokenOffer};

pub(crate) use rest::RestPiece;

/// What a join token is made for.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// How many devices may join. `None`: what the configuration says.
    pub uses: Option<NonZeroU32>,
    /// For how long. `None`: what the configuration says.
    pub life: Option<Duration>,
    /// The group that its devices join. `None`: none.
    pub group: Option<String>,
    /// Who makes it, for the audit.
    pub creator: String,
    /// Where devices enrol, `host:port`. Empty: what this node knows of itself.
    pub addresses: Vec<String>,
}

/// A running node. Clones are handles of the same node.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    pub(super) stages: Arc<Stages>,
    /// Shared by all who ask for live figures: each asks what flowed since anybody last did.
    asked: Arc<Mutex<Asked>>,
}

/// The counters when live figures were last asked for.
#[derive(Clone, Debug)]
struct Asked {
    at: Instant,
    records: u64,
    bytes: u64,
    batches: u64,
    latency: LatencyCounts,
}

impl NodeHandle {
    pub(super) fn new(stages: Stages) -> Self {
        let stages = Arc::new(stages);
        let asked = Asked {
            at: Instant::now(),
            records: 0,
            bytes: 0,
            batches: 0,
            latency: LatencyCounts::default(),
        };
        Self { stages, asked: Arc::new(Mutex::new(asked)) }
    }

    /// What runs.
    pub(super) fn stages(&self) -> &Stages {
        &self.stages
    }

    /// Address that intake listens at (UDP).
    #[must_use]
    pub fn intake_address(&self) -> SocketAddr {
        self.stages.intake.address()
    }

    /// Address that enrolment listens at (TCP).
    #[must_use]
    pub fn enrol_address(&self) -> SocketAddr {
        self.stages.enrol.address()
    }

    /// Address that `/metrics`, `/healthz` and `/readyz` are served at.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        self.stages.health.address()
    }

    /// The log's identity.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.stages.log.id()
    }

    /// How many shards the log has.
    #[must_use]
    pub fn shards(&self) -> ShardCount {
        self.stages.log.shards()
    }

    /// From which backup the node comes. `None` if from none.
    #[must_use]
    pub fn restored(&self) -> Option<&RestoredRecord> {
        self.stages.restored.as_ref()
    }

    /// Every device that was ever enrolled, in order of names.
    pub async fn devices(&self) -> Vec<DeviceView> {
        let registry = self.stages.registry.clone();
        let records = told(blocking(move || registry.devices()).await, Vec::new());
        let standings = self.stages.fold.standings(None).await;
        let sessions = self.stages.intake.sessions().into_iter().collect();
        shown::devices(records, &standings, &sessions, self.shards())
    }

    /// A device by its name or id. `None` if there is none.
    pub async fn device(&self, name_or_id: &str) -> Option<DeviceView> {
        let (registry, text) = (self.stages.registry.clone(), name_or_id.to_owned());
        let record = blocking(move || {
            let by_id = text.parse().ok().map(|id| registry.device(id)).transpose()?.flatten();
            if by_id.is_some() {
                return Ok(by_id);
            }
            let id = registry.device_by_name(&text)?;
            id.map_or(Ok(None), |id| registry.device(id))
        });
        let record = told(record.await, None)?;
        let (id, stages) = (record.id, &self.stages);
        let standings = stages.fold.standings(Some(id)).await;
        let sessions = stages.intake.session(id).map(|session| (id, session)).into_iter().collect();
        shown::devices(vec![record], &standings, &sessions, self.shards()).pop()
    }

    /// Names of devices by id: for tables of records.
    #[must_use]
    pub fn names(&self) -> BTreeMap<DeviceId, String> {
        let records = told(Some(self.stages.registry.devices()), Vec::new());
        records.into_iter().map(|record| (record.id, record.name)).collect()
    }

    /// What the fold applies from now on. A slow receiver loses its own copy (`RecvError::Lagged`).
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<AppliedBatch>> {
        self.stages.live.subscribe()
    }

    /// Entries of a shard as they stand in the log: also those that the fold did not apply. One that
    /// can't be decoded ends the list.
    ///
    /// # Errors
    /// If the log can't be read.
    pub async fn read(
        &self,
        shard: ShardId,
        from: Offset,
        budget_bytes: u64,
    ) -> Result<Vec<(Offset, Entry)>, ReadError> {
        let log = Arc::clone(&self.stages.log);
        let entries = blocking(move || log.read(shard, from, ByteCount(budget_bytes))).await;
        let entries = entries.unwrap_or_else(|| Ok(Vec::new()))?;
        let decoded = entries.into_iter().map(|stored| {
            let entry = Entry::decode(&stored.entry)?;
            Ok::<_, DecodeError>((stored.offset, entry))
        });
        Ok(decoded.map_while(Result::ok).collect())
    }

    /// Where a shard's log ends: the offset of the next entry. 0 if the log can't be read, which whoever
    /// reads on is told.
    #[must_use]
    pub fn end(&self, shard: ShardId) -> Offset {
        self.stages.log.end(shard).unwrap_or_else(|error| {
            tracing::error!(%error, cause = %error.source, "read the end of the log");
            Offset(0)
        })
    }

    /// Goes through what was applied in a shard from an offset to its present end, in order, each batch
    /// once, by a fold of its own; `visit` runs on a thread for blocking work and may stop it.
    ///
    /// # Errors
    /// If the log can't be read.
    pub async fn replay<Visit>(
        &self,
        shard: ShardId,
        from: Offset,
        visit: Visit,
    ) -> Result<(), ReplayError>
    where
        Visit: FnMut(AppliedBatch) -> ControlFlow<()> + Send + 'static,
    {
        let node = self.clone();
        let replayed = blocking(move || node.replay_here(shard, from, visit));
        replayed.await.unwrap_or(Ok(()))
    }

    /// Checks the ledger against the log by an independent pass over it: of one device, or of all.
    ///
    /// # Errors
    /// If the log can't be read.
    pub async fn verify<Progress>(
        &self,
        device: Option<DeviceId>,
        mut progress: Progress,
    ) -> Result<VerifyReport, VerifyError>
    where
        Progress: FnMut(VerifyProgress) + Send + 'static,
    {
        let all = self.shards().shards().collect();
        let shards = device.map_or(all, |id| vec![self.stages.fold.shard_of(id)]);
        let mut far = VerifyProgress::of(shards.len());
        for shard in &shards {
            far.entries_total += self.end(*shard).0;
        }
        let mut report = VerifyReport::default();
        for shard in shards {
            let standing = self.stages.fold.standing(shard).await.ok_or(VerifyError::Stopping)?;
            let log = Arc::clone(&self.stages.log);
            let walked = blocking(move || {
                let lanes = verify::shard(&*log, &standing, device, |entries, bytes| {
                    far.entries += entries;
                    far.bytes += bytes;
                    progress(far);
                });
                (lanes, far, progress)
            });
            let (lanes, walked_far, told) = walked.await.ok_or(VerifyError::Stopping)?;
            (far, progress) = (walked_far, told);
            report.lanes.extend(lanes?);
            far.shards_done += 1;
            progress(far);
        }
        report.lanes.sort_by_key(|lane| (lane.device, lane.lane));
        (report.entries, report.bytes) = (far.entries, far.bytes);
        Ok(report)
    }

    /// Makes a join token.
    ///
    /// # Errors
    /// If an address is none, or it can't be stored.
    pub async fn create_token(&self, request: TokenRequest) -> Result<CreatedToken, TokenError> {
        let stages = Arc::clone(&self.stages);
        let address = |text: &String| {
            text.parse::<Address>()
                .map_err(|source| TokenError::Address { text: text.clone(), source })
        };
        let mut addresses = request.addresses.iter().map(address).collect::<Result<Vec<_>, _>>()?;
        if addresses.is_empty() {
            addresses.push(enrolling(&stages.config, self.enrol_address().port()));
        }
        let offer = TokenOffer {
            addresses,
            pin: stages.authority.root_pin(),
            name: stages.authority.trust_domain().to_string(),
            uses: request.uses.unwrap_or(stages.config.enrol.token_uses),
            life: request.life.unwrap_or(stages.config.enrol.token_life),
            group: request.group,
        };
        let actor = actor(&request.creator);
        let life_us = i64::try_from(offer.life.as_micros()).unwrap_or(i64::MAX);
        let expires_at_us = actor.at_us.saturating_add(life_us);
        let made = blocking(move || stages.registry.create_token(offer, &actor)).await;
        let token = made.ok_or(TokenError::Stopping)??;
        Ok(CreatedToken { id: token.id().to_string(), text: token.to_text(), expires_at_us })
    }

    /// Every token that was ever made, the newest first.
    pub async fn tokens(&self) -> Vec<TokenView> {
        let registry = self.stages.registry.clone();
        let tokens = told(blocking(move || registry.tokens()).await, Vec::new());
        tokens.iter().map(shown::token).collect()
    }

    /// Takes the uses that are left off a token. `false` if there were none.
    ///
    /// # Errors
    /// If there is no such token, or it can't be stored.
    pub async fn revoke_token(&self, id: &str, actor_name: &str) -> Result<bool, TokenError> {
        let (registry, id, actor) =
            (self.stages.registry.clone(), id.to_owned(), actor(actor_name));
        let revoked = blocking(move || registry.revoke_token(&id, &actor)).await;
        revoked.ok_or(TokenError::Stopping)?
    }

    /// Revokes a device and closes its session. `false` if it had been revoked.
    ///
    /// # Errors
    /// If there is no such device, or it can't be stored.
    pub async fn revoke(&self, device: DeviceId, actor_name: &str) -> Result<bool, ServeError> {
        let (registry, actor) = (self.stages.registry.clone(), actor(actor_name));
        let revoked = blocking(move || registry.revoke(device, &actor)).await;
        let revoked = revoked.ok_or(ServeError::Stopping)??;
        self.stages.intake.revoke(device);
        Ok(revoked)
    }

    /// Serves a device again that is marked as cloned. `false` if it is not.
    ///
    /// # Errors
    /// If there is no such device, or it can't be stored.
    pub async fn restore(&self, device: DeviceId, actor_name: &str) -> Result<bool, ServeError> {
        let (registry, actor) = (self.stages.registry.clone(), actor(actor_name));
        let restored = blocking(move || registry.restore(device, &actor)).await;
        restored.ok_or(ServeError::Stopping)?
    }

    /// What flowed since this was last asked.
    ///
    /// # Panics
    /// Never: nobody panics while holding the figures.
    pub async fn live(&self) -> LiveView {
        let ledger = self.stages.fold.sum().await;
        let sessions = self.stages.intake.sessions().len();
        let (fold, intake) = (&self.stages.metrics.fold, &self.stages.metrics.intake);
        let applied = VerdictLabel { verdict: VerdictWord::applied };
        let present = Asked {
            at: Instant::now(),
            records: fold.records.get(),
            bytes: fold.bytes.get(),
            batches: fold.batches.get_or_create(&applied).get(),
            latency: intake.ack_latency.counts(),
        };
        let mut asked = self.asked.lock().expect("nobody panics while holding the figures");
        let before = std::mem::replace(&mut *asked, present.clone());
        LiveView {
            elapsed: present.at.duration_since(before.at),
            records: present.records - before.records,
            bytes: present.bytes - before.bytes,
            batches: present.batches - before.batches,
            ack_p50: present.latency.percentile_since(&before.latency, 50),
            ack_p99: present.latency.percentile_since(&before.latency, 99),
            sessions,
            ledger,
        }
    }

    /// Stops all stages: sessions are closed, what was appended is folded and a snapshot is written.
    pub async fn shutdown(&self) {
        self.stages.stop().await;
    }
}

/// Runs what waits for the disk off the runtime's threads; `None` if the runtime is ending.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// What the registry said. A registry that can't be read is a person's business: nobody who looks at
/// devices can do anything about it.
pub(super) fn told<T>(answer: Option<Result<T, RegistryError>>, otherwise: T) -> T {
    match answer {
        Some(Ok(answer)) => answer,
        Some(Err(error)) => {
            tracing::error!(%error, cause = %error.source, "read the registry");
            otherwise
        }
        None => otherwise,
    }
}

fn actor(name: &str) -> Actor {
    Actor { name: name.to_owned(), source: String::new(), at_us: wall_us() }
}
