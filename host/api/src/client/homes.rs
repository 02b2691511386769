//! Calls about where the data of volumes is, and about local copies.

use volward_model::{PoolName, VolumeName};

use super::{Client, Reply, http};
use crate::recover::{
    BringHomeReply, BringHomeRequest, DiscardCopyRequest, RecoverReply, SetHomeRequest,
};
use crate::view::HydrationView;

impl Client {
    /// `GET /v1/hydrations`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists.
    pub fn hydrations(&self) -> Reply<Vec<HydrationView>> {
        self.get("/v1/hydrations")
    }

    /// Has write-backs end where they are, until the daemon is started again: what is called returning in the reply
    /// has not ended yet.
    ///
    /// # Errors
    /// As the daemon says, or when it cannot be reached.
    pub fn put_copies_down(&self) -> Reply<Vec<HydrationView>> {
        self.post("/v1/hydrations/put-down", &())
    }

    /// `GET /v1/recover`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists; an unknown volume is a [`Problem`](crate::Problem) of kind `not-found`.
    pub fn recover(&self, pool: &PoolName, volume: &VolumeName) -> Reply<RecoverReply> {
        let volume = http::query_value(&format!("{pool}/{volume}"));
        self.get(&format!("/v1/recover?volume={volume}"))
    }

    /// `POST /v1/recover/home`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists.
    pub fn set_home(&self, request: &SetHomeRequest) -> Reply<RecoverReply> {
        self.post("/v1/recover/home", request)
    }

    /// `POST /v1/hydrations/home`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists.
    pub fn bring_home(&self, request: &BringHomeRequest) -> Reply<BringHomeReply> {
        self.post("/v1/hydrations/home", request)
    }

    /// `POST /v1/recover/discard`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists.
    pub fn discard_copy(&self, request: &DiscardCopyRequest) -> Reply<RecoverReply> {
        self.post("/v1/recover/discard", request)
    }
}
