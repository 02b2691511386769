//! In which order systemd starts and stops what others' units leave to chance.

use super::Draft;
use crate::paths;

/// A unit that is to be started after others, and stopped before them.
struct Order {
    folder: &'static str,
    dropin: &'static str,
    after: &'static [&'static str],
    /// Lines of the drop-in beside that.
    more: &'static str,
    why: &'static str,
}

const ORDERS: [Order; 2] = [
    // wdmd does not end while sanlock is its client. Debian's units stop both at once; wdmd then runs into its timeout
    // of 90 s, at every shutdown.
    Order {
        folder: paths::SANLOCK_DROPINS,
        dropin: paths::SANLOCK_DROPIN,
        after: &["wdmd.service"],
        more: "",
        why: "sanlock is started after wdmd, and stopped before it: wdmd waits for sanlock's end",
    },
    // Without them it may look for lockspaces on a LUN that is not there yet, and it looks once.
    Order {
        folder: paths::LVMLOCKS_DROPINS,
        dropin: paths::LVMLOCKS_DROPIN,
        after: &["multipathd.service", "iscsid.service", "open-iscsi.service"],
        more: LOOK_FIRST,
        why: "lockspaces are joined when the LUN's paths are there",
    },
];

/// On a LUN that hangs joining never ends, and volwardd, libvirtd and guests that are not Volward's wait for it. So LVM
/// looks at the disks first, for as long as a path takes to fail over: 30 s until a SCSI command is given up, as long on
/// the next path. The kernel ends no process that waits for a disk, so nothing here waits for that one either: it is left
/// behind. What else goes wrong with that look is for joining to say. Joining takes three minutes at most, says LVM.
const LOOK_FIRST: &str = "[Service]
ExecStartPre=/bin/sh -c '/sbin/lvm vgs -o vg_name > /dev/null 2>&1 & look=$$!; \
for half in $$(seq 120); do kill -0 $$look 2> /dev/null || exit 0; sleep 0.5; done; \
echo \"a disk does not answer LVM within 60 s: no lockspace is joined; \
when it answers: systemctl restart lvmlocks\" >&2; exit 1'
KillMode=process
TimeoutStartSec=300
";

impl Draft<'_> {
    pub(super) fn order(&mut self) {
        for order in &ORDERS {
            let others = self.seen.below(order.folder);
            let mut others = others.filter(|(path, _)| *path != order.dropin);
            match others.find(|(_, text)| orders(text, order.after)) {
                Some((path, _)) => self.plan.kept.push(format!("/{path}: {}", order.why)),
                None => {
                    let text = format!(
                        "# Written by `volward setup`: {}.\n[Unit]\nAfter={}\n{}",
                        order.why,
                        order.after.join(" "),
                        order.more
                    );
                    self.set(order.dropin, order.why, text);
                }
            }
        }
    }
}

/// Whether the text of a drop-in has all of these units after `After=`.
fn orders(text: &str, units: &[&str]) -> bool {
    let lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("After="));
    let there: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    units.iter().all(|unit| there.contains(unit))
}
