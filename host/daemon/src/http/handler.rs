//! What every handler needs.

use std::sync::Arc;

use axum::Json;
use volward_api::ProblemCode;

use super::places;
use super::problem::{Failure, plain};
use crate::wiring::Daemon;

/// The daemon, as every handler gets it.
pub(super) type Shared = Arc<Daemon>;

/// Runs what needs only memory, on no thread of its own: it answers whatever else hangs.
pub(super) fn at_once<T>(work: impl FnOnce() -> T) -> Result<Json<T>, Failure> {
    Ok(Json(work()))
}

/// Runs a use case where blocking is allowed. The request's place is free when its work has ended,
/// whether somebody still waits for the answer or not.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<Json<T>, Failure> {
    let place = places::taken();
    let work = move || {
        let done = work();
        drop(place);
        done
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map(Json),
        Err(error) => {
            tracing::error!(%error, "a request broke off");
            let message = "the daemon failed at this request; its log says more".to_owned();
            Err(Failure(plain(ProblemCode::Internal, "internal", message)))
        }
    }
}
