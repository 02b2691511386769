//! The socket: start, routes, stop.

mod attach;
mod decisions;
mod detach;
mod door;
mod explain;
mod fence;
#[cfg(test)]
mod habits;
mod handler;
#[cfg(test)]
mod hung;
mod inventory;
pub(crate) mod openapi;
mod operations;
mod outcome;
mod patience;
mod peer;
pub(crate) mod places;
pub(crate) mod policies;
mod pools;
mod problem;
mod recover;
pub(crate) mod rights;
mod routes;
mod snapshots;
pub(crate) mod status;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod views;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use tokio::net::UnixListener;

use crate::config::Switch;
use crate::policies::{PERIOD, watch};
use crate::signals;
use crate::spool;
use crate::wiring::Daemon;
use door::{Door, LIMITS};
pub(crate) use peer::Peer;

/// Between two looks whether something failed for now that nobody tries again yet.
const TEND_PERIOD: Duration = Duration::from_secs(3);
/// A lost lease is to be known within a second (I2).
const LEASES_EVERY: Duration = Duration::from_millis(500);
/// Whoever migrates a guest waits for it. A look costs a read of the registry's headers.
const MIGRATIONS_EVERY: Duration = Duration::from_secs(1);
/// Between two looks for disks that running guests have given back.
const UNPLUGGED_EVERY: Duration = Duration::from_secs(5);
/// Requests under way at shutdown get so long; longer ones are taken up by the next start.
const GRACE: Duration = Duration::from_secs(70);

/// Starts what is made, serves until SIGTERM or SIGINT, stops cleanly.
pub(crate) async fn serve(
    make: impl FnOnce() -> anyhow::Result<Daemon> + Send + 'static,
) -> anyhow::Result<()> {
    let daemon = tokio::task::spawn_blocking(move || start(make()?))
        .await
        .context("starting")??;
    let socket = daemon.config.paths.socket.clone();
    let listener = listen(&socket)?;
    let app = app(&daemon);
    // Neither recovery nor the socket waits for a policy to be compiled.
    let policies = Arc::clone(&daemon.policies);
    std::thread::Builder::new()
        .name("policies".into())
        .spawn(move || policies.begin())
        .context("starting a thread")?;
    tracing::info!(socket = %socket.display(), node = %daemon.node.settings().node, "ready");
    let ready = [sd_notify::NotifyState::Ready];
    sd_notify::notify(&ready).context("telling systemd that we are ready")?;
    let background = Arc::clone(&daemon);
    std::thread::Builder::new()
        .name("retries".into())
        .spawn(move || tend(&background))
        .context("starting a thread")?;

    let background = Arc::clone(&daemon);
    std::thread::Builder::new()
        .name("leases".into())
        .spawn(move || follow_leases(&background))
        .context("starting a thread")?;

    let background = Arc::clone(&daemon);
    std::thread::Builder::new()
        .name("migrations".into())
        .spawn(move || follow_migrations(&background))
        .context("starting a thread")?;

    let background = Arc::clone(&daemon);
    std::thread::Builder::new()
        .name("unplugged".into())
        .spawn(move || release_unplugged(&background))
        .context("starting a thread")?;

    let (stopping, mut stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(spool::watch(
        Arc::clone(&daemon),
        spool::PERIOD,
        stopped.clone(),
    ));
    let (policies, follow) = (Arc::clone(&daemon.policies), daemon.config.policy.watch);
    let follow = follow == Switch::On;
    tokio::spawn(watch(policies, follow, PERIOD, stopped.clone()));
    let api = daemon.config.api.clone();
    let door = Door::new(
        listener,
        move |uid| rights::kind_of(uid, &api).is_some(),
        LIMITS,
    );
    let server = axum::serve(door, app).with_graceful_shutdown(async move {
        // An error means that the sender is gone, which is a stop as well.
        drop(stopped.wait_for(|stop| *stop).await);
    });
    let server = tokio::spawn(server.into_future());
    signals::of_the_end(Arc::clone(&daemon.probes)).await?;
    tracing::info!("stopping; attachments stay as they are");
    sd_notify::notify(&[sd_notify::NotifyState::Stopping]).context("telling systemd")?;
    daemon.node.stop();
    stopping.send_replace(true);
    match tokio::time::timeout(GRACE, server).await {
        Ok(ended) => ended.context("serving")?.context("serving")?,
        Err(_) => tracing::warn!("requests were still under way; the next start takes them up"),
    }
    remove_socket(&socket)?;
    Ok(())
}

/// What is served, with who asks.
fn app(daemon: &Arc<Daemon>) -> IntoMakeServiceWithConnectInfo<axum::Router, Peer> {
    routes::router(Arc::clone(daemon), document()).into_make_service_with_connect_info()
}

/// The description of what is served is served too.
fn document() -> axum::Router<handler::Shared> {
    let document = || async { axum::Json(openapi::document()) };
    axum::Router::new().route("/openapi.json", axum::routing::get(document))
}

/// The slow part of a start: recovery. Releases that came while we were away are delivered once
/// the socket is there.
fn start(daemon: Daemon) -> anyhow::Result<Arc<Daemon>> {
    let daemon = Arc::new(daemon);
    let recovered = daemon.node.recover().context("taking up what was left")?;
    tracing::info!(?recovered, "recovered");
    Ok(daemon)
}

/// Has what failed for now tried again, also where it failed beside any request.
fn tend(daemon: &Daemon) {
    while !daemon.node.is_stopping() {
        daemon.node.try_again();
        std::thread::sleep(TEND_PERIOD);
    }
}

/// Looks at the leases, and has attachments cut off when they are lost.
fn follow_leases(daemon: &Daemon) {
    while !daemon.node.is_stopping() {
        daemon.node.follow_leases();
        std::thread::sleep(LEASES_EVERY);
    }
}

/// Hears what other nodes ask on account of live migrations, and follows what is shared with them.
fn follow_migrations(daemon: &Daemon) {
    while !daemon.node.is_stopping() {
        daemon.node.follow_migrations();
        std::thread::sleep(MIGRATIONS_EVERY);
    }
}

/// Releases what running guests have given back.
fn release_unplugged(daemon: &Daemon) {
    while !daemon.node.is_stopping() {
        daemon.node.release_unplugged();
        std::thread::sleep(UNPLUGGED_EVERY);
    }
}

/// Root only; whoever else may ask is in the configuration and checked by credentials.
#[expect(
    clippy::disallowed_methods,
    reason = "the socket is bound by its path, and clients find it by that"
)]
fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        anyhow::bail!(
            "another volwardd listens on {}; stop it first",
            path.display()
        );
    }
    remove_socket(path)?;
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    // Everybody may connect; what he may ask is decided by who he is.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    Ok(listener)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the socket is bound by its path, and clients find it by that"
)]
fn remove_socket(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
