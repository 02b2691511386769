//! libvirt's qemu hook: `/etc/libvirt/hooks/qemu.d/volward`, or `/etc/libvirt/hooks/qemu`.
//!
//! libvirt runs it as `volward-hook GUEST OPERATION SUB-OPERATION EXTRA`, the domain XML on
//! stdin, and waits. It never calls libvirt, which would wait for the hook (I31); a guest without
//! managed disks costs reading its XML and nothing else. What each operation does is in
//! [`operation`], and for people in docs/libvirt.md.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests lay out and inspect files by path"
    )
)]

mod arrival;
mod chain;
mod config;
mod confirm;
mod disks;
mod domain;
mod input;
mod metadata;
mod operation;
mod path;
mod place;
mod prepare;
mod refusal;
mod release;
mod say;

use std::process::ExitCode;

use disks::Links;
use operation::{Call, Effect};
use place::Place;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let Some(call) = Call::parse(&arguments) else {
        say::line(
            "usage: GUEST OPERATION SUB-OPERATION EXTRA, the domain XML on stdin; libvirt runs \
             this program as its qemu hook, see docs/libvirt.md",
        );
        return ExitCode::from(2);
    };
    let fine = match call.effect() {
        Effect::None => true,
        effect => act(effect, &call, &Place::from_environment()),
    };
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whether libvirt may go on.
fn act(effect: Effect, call: &Call, place: &Place) -> bool {
    let pools = config::pools(place);
    let links = match effect {
        Effect::Attach | Effect::Check => Links::Everywhere,
        _ => Links::InDev,
    };
    let guest = input::read().understand(&pools, place, links);
    match effect {
        Effect::None => true,
        Effect::Attach => prepare::attach(call, guest, &pools, place),
        Effect::Check => prepare::check(call, guest, place),
        Effect::Detach => release::detach(call, &guest, place),
        Effect::Confirm(event) => confirm::confirm(call, event, &guest, place),
    }
}
