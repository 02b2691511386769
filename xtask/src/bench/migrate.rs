//! A live migration of a guest with two managed disks, against the same guest on plain volumes that are active
//! on both nodes, by hand and without the hook.

use std::time::Duration;

use anyhow::{Context, Result};
use volward_system::Node;
use volward_system::guest::{Guest, Wish};
use volward_system::hook_clock::{self, Call, HOOK};
use volward_system::ticker;
use volward_system::volward::{VIRSH, Volward};

use super::figure::{Figure, Pairs, Unit};

/// There and back, with each: so many times two samples.
const ROUNDS: usize = 8;
/// The same under the hook's clock, which takes some time itself: apart from the others.
const CLOCKED_ROUNDS: usize = 2;
/// The ratio that the guest's pause may have.
const PAUSE_GOAL: f64 = 1.1;
/// A migration, its hooks and what follows it, in emulation.
const DEADLINE: Duration = Duration::from_secs(180);
/// Where libvirt does not find the hook.
const HIDDEN: &str = "/run/lab/volward-hook";

/// Guests of both kinds, side by side.
struct Guests {
    ours: Guest,
    bare: Guest,
}

/// What one migration took, in seconds.
#[derive(Debug, Clone, Copy)]
struct Took {
    /// How long the guest stood still, as libvirt says.
    pause: f64,
    /// How long virsh was at it.
    whole: f64,
}

pub(crate) fn measure(volward: &Volward<'_>) -> Result<Vec<Figure>> {
    let guests = begin(volward)?;
    let (mut pauses, mut wholes) = (Pairs::default(), Pairs::default());
    for _ in 0..ROUNDS {
        eprintln!("  measuring: live migrations, there and back");
        for (from, to) in [(1, 2), (2, 1)] {
            let took = migrate(volward, &guests.ours, from, to)?;
            pauses.ours.push(took.pause);
            wholes.ours.push(took.whole);
            alone(volward, to)?;
        }
        hook(volward, false)?;
        for (from, to) in [(1, 2), (2, 1)] {
            let took = migrate(volward, &guests.bare, from, to)?;
            pauses.base.push(took.pause);
            wholes.base.push(took.whole);
        }
        hook(volward, true)?;
    }
    let hooks = clocked(volward, &guests.ours)?;
    end(volward, &guests)?;
    let against = "volumes that are active on both nodes by hand, without the hook";
    Ok(vec![
        Figure::pairs(
            "a guest's pause in a live migration, two disks",
            against,
            Unit::Milliseconds,
            &pauses,
            Some(PAUSE_GOAL),
        ),
        Figure::pairs(
            "such a migration, virsh from start to end",
            against,
            Unit::Milliseconds,
            &wholes,
            None,
        ),
        Figure::alone(
            "of it the hook, on both nodes",
            Unit::Milliseconds,
            &hooks.waited,
        ),
        Figure::alone("the hook's share of it", Unit::Percent, &hooks.share),
        Figure::alone(
            "the share of `prepare`, which attaches at the destination",
            Unit::Percent,
            &hooks.prepare,
        ),
    ])
}

/// What the hook took of migrations, a sample each.
#[derive(Debug, Default)]
struct Hooks {
    /// All its calls on both nodes, in seconds. libvirt waits for each.
    waited: Vec<f64>,
    /// These, as a part of the whole.
    share: Vec<f64>,
    /// Of `prepare` alone, as a part of the whole.
    prepare: Vec<f64>,
}

impl Hooks {
    fn add(&mut self, whole: f64, calls: &[Call]) {
        let waited = |wanted: fn(&Call) -> bool| -> f64 {
            calls
                .iter()
                .filter(|call| wanted(call))
                .map(|call| call.seconds)
                .sum()
        };
        let all = waited(|_| true);
        self.waited.push(all);
        self.share.push(all / whole);
        self.prepare
            .push(waited(|call| call.operation == "prepare") / whole);
    }
}

fn clocked(volward: &Volward<'_>, guest: &Guest) -> Result<Hooks> {
    for node in [1, 2] {
        hook_clock::begin(volward.node(node))?;
    }
    let mut hooks = Hooks::default();
    for _ in 0..CLOCKED_ROUNDS {
        eprintln!("  measuring: live migrations under the hook's clock");
        for (from, to) in [(1, 2), (2, 1)] {
            let took = migrate(volward, guest, from, to)?;
            let mut calls = Vec::new();
            for node in [1, 2] {
                let of_node = hook_clock::calls(volward.node(node))?;
                calls.extend(of_node.into_iter().filter(|call| call.guest == guest.name));
            }
            hooks.add(took.whole, &calls);
            alone(volward, to)?;
        }
    }
    for node in [1, 2] {
        hook_clock::end(volward.node(node))?;
    }
    Ok(hooks)
}

/// Starts a guest of each kind on node 1. Both write all the time.
fn begin(volward: &Volward<'_>) -> Result<Guests> {
    for node in [1, 2] {
        release(volward, node)?;
    }
    for volume in ["moved0", "bare0"] {
        ticker::volume(volward, volume)?;
    }
    for volume in ["moved1", "bare1"] {
        volward.volume(volume, 32)?;
    }
    let ours = Guest::new("moved", 0x51)
        .disk("moved0", Wish::Plain)
        .disk("moved1", Wish::Plain);
    ours.start(volward.node(1))?;
    // Its disks are shareable to libvirt, as they have to be where nobody hands them over.
    let bare = Guest::new("bare", 0x52)
        .disk_at("/dev/vg0/bare0", Wish::Shareable)
        .disk_at("/dev/vg0/bare1", Wish::Shareable);
    for node in [1, 2] {
        let activate = "lvchange -asy vg0/bare0 vg0/bare1";
        volward.node(node).run_ok_within(DEADLINE, activate)?;
    }
    hook(volward, false)?;
    bare.start(volward.node(1))?;
    hook(volward, true)?;
    Ok(Guests { ours, bare })
}

/// The programs as they are shipped, the hook too: both nodes take part.
fn release(volward: &Volward<'_>, node: u8) -> Result<()> {
    volward.stop(node)?;
    volward.node(node).run_ok(&format!(
        "for name in volward volwardd volward-policy; do ln -sf /host/release/$name /usr/sbin/$name; done
         install -m 755 /host/release/volward-hook {HOOK}"
    ))?;
    volward.start(node, &["VOLWARD_LOG=info".to_owned()])?;
    Ok(())
}

/// Puts the hook in its place, or out of it; libvirt looks when it starts.
fn hook(volward: &Volward<'_>, there: bool) -> Result<()> {
    let (from, to) = if there {
        (HIDDEN, HOOK)
    } else {
        (HOOK, HIDDEN)
    };
    for node in [1, 2] {
        volward.node(node).run_ok(&format!("mv {from} {to}"))?;
        volward.restart_libvirtd(node)?;
    }
    Ok(())
}

fn migrate(volward: &Volward<'_>, guest: &Guest, from: u8, to: u8) -> Result<Took> {
    let name = &guest.name;
    let command = format!(
        "a=$(date +%s%N)
         virsh migrate --live --unsafe {name} qemu+tcp://10.9.0.{to}/system > /dev/null || exit
         echo $(( $(date +%s%N) - a ))"
    );
    let whole = number(volward.node(from), &command)?;
    let told =
        format!("virsh domjobinfo --completed {name} | awk '/^Total downtime/ {{print $3}}'");
    let pause = number(volward.node(to), &told)?;
    Ok(Took {
        pause: pause / 1e3,
        whole: whole / 1e9,
    })
}

fn number(node: &Node, command: &str) -> Result<f64> {
    let said = node.run_ok_within(VIRSH, command)?;
    said.trim()
        .parse()
        .with_context(|| format!("`{command}` said {said:?}"))
}

/// Waits until the guest has its disks for itself: what comes after a migration is no part of the next one.
fn alone(volward: &Volward<'_>, node: u8) -> Result<()> {
    let has = || {
        let leases = volward.leases(node)?;
        Ok(["moved0 exclusive", "moved1 exclusive"]
            .iter()
            .all(|wanted| leases.iter().any(|lease| lease == wanted)))
    };
    volward.wait(node, "exclusive leases", DEADLINE, has)?;
    Ok(())
}

/// Leaves the nodes as other measurements expect them.
fn end(volward: &Volward<'_>, guests: &Guests) -> Result<()> {
    guests.ours.stop(volward.node(1))?;
    hook(volward, false)?;
    guests.bare.stop(volward.node(1))?;
    hook(volward, true)?;
    for node in [1, 2] {
        let deactivate = "lvchange -an vg0/bare0 vg0/bare1";
        volward.node(node).run_ok_within(DEADLINE, deactivate)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hooks_share_is_of_all_its_calls_and_of_prepare() {
        let call = |operation: &str, seconds| Call {
            guest: "moved".to_owned(),
            operation: operation.to_owned(),
            seconds,
        };
        let mut hooks = Hooks::default();
        let calls = [
            call("prepare", 1.0),
            call("start", 0.5),
            call("release", 0.5),
        ];
        hooks.add(8.0, &calls);
        assert_eq!((hooks.waited, hooks.share), (vec![2.0], vec![0.25]));
        assert_eq!(hooks.prepare, [0.125]);
    }
}
