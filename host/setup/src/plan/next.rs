//! What a person does after setup: commands that change what runs.

use super::Draft;
use crate::paths;
use crate::text::Pool;
use crate::wanted::Decided;

impl Draft<'_> {
    /// The commands, in their order.
    pub(super) fn next(&mut self, decided: &Decided) {
        let changed = |path: &str| self.plan.changes.iter().any(|change| change.path == path);
        let mut next = Vec::new();
        if let Some(change) = self
            .plan
            .changes
            .iter()
            .find(|change| change.path == paths::WATCHDOG_MODULE)
        {
            let module = change.after.lines().last().unwrap_or_default();
            next.push(format!("modprobe {module}"));
        }
        if changed(paths::CLONE_MODULE) {
            next.push("modprobe dm-clone".to_owned());
        }
        let dropins = [
            paths::LVMLOCKD_DROPIN,
            paths::SANLOCK_DROPIN,
            paths::LVMLOCKS_DROPIN,
        ];
        if dropins.into_iter().any(changed) {
            next.push("systemctl daemon-reload".to_owned());
        }
        next.push("systemctl enable wdmd sanlock lvmlockd lvmlocks".to_owned());
        let of_services = [
            paths::SANLOCK,
            paths::SANLOCK_DEFAULTS,
            paths::WDMD_DEFAULTS,
            paths::LVM_LOCAL,
            paths::LVMLOCKD_DROPIN,
        ];
        if of_services.into_iter().any(changed) {
            next.push(
                "systemctl restart wdmd sanlock lvmlockd   (only while `sanlock client status` has no line that begins \
                 with s; else reboot)"
                    .to_owned(),
            );
        }
        // LVM makes a local group under its global lock, which is in a shared one.
        let (local, shared): (Vec<&Pool>, Vec<&Pool>) =
            decided.pools.iter().partition(|pool| pool.local);
        let pools = [shared, local].concat();
        for Pool { name, local } in &pools {
            next.push(match local {
                true => format!("vgcreate {name} /dev/disk/by-id/OWN-DISK   (unless it is there)"),
                false => format!(
                    "vgcreate --shared {name} /dev/disk/by-id/LUN   (unless it is there; on one node, once; on the others vgchange --lock-start \
                     {name})"
                ),
            });
        }
        next.push(
            "volwardd --check && systemctl enable --now volward-registry volwardd volward-release"
                .to_owned(),
        );
        next.extend(
            pools
                .iter()
                .map(|pool| format!("volward pool init {}", pool.name)),
        );
        next.push(
            "systemctl restart libvirtd   (it looks for hooks only when it starts)".to_owned(),
        );
        next.push("volward doctor".to_owned());
        self.plan.next = next;
    }
}
