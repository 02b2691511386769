//! A blocking client of the daemon, for programs that want no async runtime.
//!
//! One connection a call. The deadline is for the whole call, connecting included.

mod connection;
mod error;
mod homes;
mod http;
mod operations;
mod terminal;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use volward_model::{InstanceId, PoolName, RequestId, VolumeName};

pub use error::ClientError;

use crate::attach::{
    AttachReply, AttachRequest, ConfirmReply, ConfirmRequest, DetachReply, DetachRequest,
};
use crate::pool::{PoolInitRequest, PoolView, VolumeSetRequest, VolumeView};
use crate::problem::Problem;
use crate::view::{
    AttachmentView, ClusterReply, DecisionReply, DecisionsReply, DoctorReply, ExplainReply,
    FenceReply, FenceRequest, PolicyView, RollbackRequest, StatusReply, UnfenceRequest,
};
use crate::words::{Said, Words};
use connection::{Connection, Deadline};
use error::WireError;

/// What to explain; of an instance or volume, the latest request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExplainQuery {
    /// The request of this id.
    Request(RequestId),
    /// The latest of this instance.
    Instance(InstanceId),
    /// The latest about this volume.
    Volume(PoolName, VolumeName),
}

impl ExplainQuery {
    fn target(&self) -> String {
        let (key, value) = match self {
            Self::Request(id) => ("request", id.to_string()),
            Self::Instance(id) => ("instance", id.to_string()),
            Self::Volume(pool, volume) => ("volume", format!("{pool}/{volume}")),
        };
        format!("/v1/explain?{key}={}", http::query_value(&value))
    }
}

/// Which decisions; those that match all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecisionsQuery {
    /// At most so many, the latest.
    pub limit: Option<u32>,
    /// Those with a greater number in the log.
    pub after: Option<u64>,
    /// Decisions of this instance only.
    pub instance: Option<InstanceId>,
    /// Those about this volume, by its pool's and its own name at the time.
    pub volume: Option<(PoolName, VolumeName)>,
    /// Those the policies came to this with.
    pub said: Option<Said>,
}

impl DecisionsQuery {
    fn target(&self) -> String {
        let volume = self.volume.as_ref();
        let pairs = [
            ("limit", self.limit.map(|n| n.to_string())),
            ("after", self.after.map(|n| n.to_string())),
            ("instance", self.instance.map(|id| id.to_string())),
            (
                "volume",
                volume.map(|(pool, name)| format!("{pool}/{name}")),
            ),
            ("said", self.said.map(Words::word)),
        ];
        let given = pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        let query: Vec<String> = given
            .map(|(key, value)| format!("{key}={}", http::query_value(&value)))
            .collect();
        format!("/v1/decisions?{}", query.join("&"))
    }
}

/// The daemon, as seen through its socket. Making one connects to nothing yet.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    deadline: Duration,
    for_terminal: bool,
}

/// What every call may fail with.
type Reply<T> = Result<T, ClientError>;

impl Client {
    /// A client of the daemon at `socket`, each of whose calls ends within `deadline`.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>, deadline: Duration) -> Self {
        Self {
            socket: socket.into(),
            deadline,
            for_terminal: false,
        }
    }

    /// The same client, for a program that shows replies to people: in every string that it gets,
    /// problems included, what would act on a terminal is escaped.
    #[must_use]
    pub fn for_terminal(self) -> Self {
        Self {
            for_terminal: true,
            ..self
        }
    }

    /// The same client with another deadline for each call.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    fn read<T: DeserializeOwned>(&self, json: &[u8]) -> serde_json::Result<T> {
        match self.for_terminal {
            true => terminal::read(json),
            false => serde_json::from_slice(json),
        }
    }

    /// How long each call may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Where the daemon is expected.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `POST /v1/attach`. What is out of bounds is not sent: it would be megabytes.
    ///
    /// # Errors
    /// As [`ClientError`] lists; so for every call below. [`OutOfBounds`](crate::OutOfBounds) is a
    /// [`Problem`], as the daemon would say it.
    pub fn attach(&self, request: &AttachRequest) -> Reply<AttachReply> {
        let kept = request.check();
        kept.map_err(|bound| ClientError::Problem(Box::new(bound.into())))?;
        self.post("/v1/attach", request)
    }

    /// `POST /v1/detach`.
    ///
    /// # Errors
    /// As [`ClientError`] lists.
    pub fn detach(&self, request: &DetachRequest) -> Reply<DetachReply> {
        self.post("/v1/detach", request)
    }

    /// `POST /v1/fence`.
    ///
    /// # Errors
    /// As [`ClientError`] lists.
    pub fn fence(&self, request: &FenceRequest) -> Reply<FenceReply> {
        self.post("/v1/fence", request)
    }

    /// `POST /v1/unfence`.
    ///
    /// # Errors
    /// As [`ClientError`] lists.
    pub fn unfence(&self, request: &UnfenceRequest) -> Reply<FenceReply> {
        self.post("/v1/unfence", request)
    }

    /// `POST /v1/confirm`.
    ///
    /// # Errors
    /// As [`ClientError`] lists.
    pub fn confirm(&self, request: &ConfirmRequest) -> Reply<ConfirmReply> {
        self.post("/v1/confirm", request)
    }

    /// `POST /v1/pools`.
    ///
    /// # Errors
    /// As [`ClientError`] lists.
    pub fn pool_init(&self, request: &PoolInitRequest) -> Reply<PoolView> {
        self.post("/v1/pools", request)
    }

    /// `POST /v1/volumes/set`.
    ///
    /// # Errors
    /// As [`ClientError`] lists.
    pub fn volume_set(&self, request: &VolumeSetRequest) -> Reply<VolumeView> {
        self.post("/v1/volumes/set", request)
    }

    /// `GET /v1/attachments`: this node's, or the whole cluster's.
    ///
    /// # Errors
    /// As [`ClientError`] lists.
    pub fn attachments(&self, all: bool) -> Reply<Vec<AttachmentView>> {
        self.get(&format!("/v1/attachments?all={all}"))
    }

    /// `GET /v1/cluster`.
    ///
    /// # Errors
    /// As [`ClientError`] lists.
    pub fn cluster(&self) -> Reply<ClusterReply> {
        self.get("/v1/cluster")
    }

    /// `GET /v1/pools`.
    ///
    /// # Errors
    /// As [`ClientError`] lists.
    pub fn pools(&self) -> Reply<Vec<PoolView>> {
        self.get("/v1/pools")
    }

    /// `GET /v1/policies`.
    ///
    /// # Errors
    /// As [`ClientError`] lists.
    pub fn policies(&self) -> Reply<Vec<PolicyView>> {
        self.get("/v1/policies")
    }

    /// `POST /v1/policies/load`.
    ///
    /// # Errors
    /// As [`ClientError`] lists; a policy that is refused is no error, its state says so.
    pub fn load_policies(&self) -> Reply<Vec<PolicyView>> {
        self.post("/v1/policies/load", &())
    }

    /// `POST /v1/policies/rollback`.
    ///
    /// # Errors
    /// As [`ClientError`] lists; where there is nothing to go back to, a [`Problem`] of kind
    /// `refused`.
    pub fn rollback_policy(&self, request: &RollbackRequest) -> Reply<Vec<PolicyView>> {
        self.post("/v1/policies/rollback", request)
    }

    /// `GET /v1/explain`.
    ///
    /// # Errors
    /// As [`ClientError`] lists; an unknown request is a [`Problem`] of kind `not-found`.
    pub fn explain(&self, what: &ExplainQuery) -> Reply<ExplainReply> {
        self.get(&what.target())
    }

    /// `GET /v1/decisions`.
    ///
    /// # Errors
    /// As [`ClientError`] lists.
    pub fn decisions(&self, which: &DecisionsQuery) -> Reply<DecisionsReply> {
        self.get(&which.target())
    }

    /// `GET /v1/decisions/record`: every decision of a request, whole.
    ///
    /// # Errors
    /// As [`ClientError`] lists; an unknown request is a [`Problem`] of kind `not-found`.
    pub fn decision(&self, request: RequestId) -> Reply<Vec<DecisionReply>> {
        self.get(&format!("/v1/decisions/record?request={request}"))
    }

    /// `GET /v1/doctor`.
    ///
    /// # Errors
    /// As [`ClientError`] lists. A failed check is no error.
    pub fn doctor(&self) -> Reply<DoctorReply> {
        self.get("/v1/doctor")
    }

    /// `GET /v1/status`.
    ///
    /// # Errors
    /// As [`ClientError`] lists.
    pub fn status(&self) -> Reply<StatusReply> {
        self.get("/v1/status")
    }

    /// `GET /openapi.json`.
    ///
    /// # Errors
    /// As [`ClientError`] lists.
    pub fn openapi(&self) -> Reply<serde_json::Value> {
        self.get("/openapi.json")
    }

    fn get<T: DeserializeOwned>(&self, target: &str) -> Reply<T> {
        self.call("GET", target, None)
    }

    fn post<T: DeserializeOwned>(&self, target: &str, body: &impl Serialize) -> Reply<T> {
        let body = serde_json::to_vec(body)
            .map_err(|e| self.unusable(format!("the request cannot be written as JSON: {e}")))?;
        self.call("POST", target, Some(&body))
    }

    fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        target: &str,
        body: Option<&[u8]>,
    ) -> Reply<T> {
        let response = self
            .exchange(&http::request(method, target, body, self.deadline))
            .map_err(|e| e.at(self.socket.clone(), self.deadline))?;
        if (200..300).contains(&response.status) {
            return self
                .read(&response.body)
                .map_err(|e| self.unusable(format!("{method} {target}: {e}")));
        }
        match self.read::<Problem>(&response.body) {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_) => Err(self.unusable(format!(
                "{method} {target}: status {}: {}",
                response.status,
                http::excerpt(&response.body)
            ))),
        }
    }

    fn exchange(&self, request: &[u8]) -> Result<http::Response, WireError> {
        let deadline = Deadline::after(self.deadline);
        let mut connection = Connection::open(&self.socket, deadline)?;
        http::exchange(&mut connection, request)
    }

    fn unusable(&self, reason: String) -> ClientError {
        ClientError::Protocol {
            socket: self.socket.clone(),
            reason,
        }
    }
}
