//! What every handler needs.

use std::sync::Arc;

use axum::Json;
use volward_api::ProblemCode;

use super::problem::{Failure, plain};
use crate::wiring::Daemon;

/// The daemon, as every handler gets it.
pub(super) type Shared = Arc<Daemon>;

/// Runs a use case where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<Json<T>, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map(Json),
        Err(error) => {
            tracing::error!(%error, "a request broke off");
            let message = "the daemon failed at this request; its log says more".to_owned();
            Err(Failure(plain(ProblemCode::Internal, "internal", message)))
        }
    }
}
