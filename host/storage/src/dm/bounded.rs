//! A deadline for calls that have none: making a device waits for udev's cookie, which a udev worker
//! that was killed never gives back, and a new table for I/O in flight. The call goes on in a thread of its own,
//! and its device is left alone until it is back.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use volward_model::{
    Backing, Bytes, CloneStatus, DeviceId, DeviceInfo, IoCounters, MirrorStatus, RegionMap,
    Sectors, Table, VolumeId,
};
use volward_ports::{Applied, Devices, LinkPath, PortResult, Split, SplitAt};

use crate::late::LateCalls;

/// udev answers in a second or two; LVM's own commands may keep it busy for longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// The same devices, of which no call takes longer than the deadline.
#[derive(Debug)]
pub struct Bounded<D> {
    inner: Arc<D>,
    calls: LateCalls<DeviceId>,
    /// Of LVs, beneath which something is halted.
    halts: LateCalls<VolumeId>,
}

impl<D: Devices + 'static> Bounded<D> {
    /// Over these.
    #[must_use]
    pub fn new(inner: D) -> Self {
        Self {
            inner: Arc::new(inner),
            calls: LateCalls::new("device", DEADLINE),
            halts: LateCalls::new("move", DEADLINE),
        }
    }

    fn call<T: Send + 'static>(
        &self,
        verb: &str,
        id: DeviceId,
        call: impl FnOnce(&D) -> PortResult<T> + Send + 'static,
    ) -> PortResult<T> {
        let inner = Arc::clone(&self.inner);
        let what = format!("{verb} device {id}");
        self.calls.call(&id, what, move || call(&inner))
    }
}

impl<D: Devices + 'static> Devices for Bounded<D> {
    fn create(
        &self,
        id: DeviceId,
        table: &Table,
        read_only: bool,
        discards: bool,
    ) -> PortResult<Applied> {
        let table = table.clone();
        self.call("making", id, move |inner| {
            inner.create(id, &table, read_only, discards)
        })
    }

    fn remove(&self, id: DeviceId) -> PortResult<Applied> {
        self.call("removing", id, move |inner| inner.remove(id))
    }

    fn reload(&self, id: DeviceId, table: &Table, read_only: bool) -> PortResult<()> {
        let table = table.clone();
        self.call("reloading", id, move |inner| {
            inner.reload(id, &table, read_only)
        })
    }

    fn resume(&self, id: DeviceId) -> PortResult<Applied> {
        self.call("resuming", id, move |inner| inner.resume(id))
    }

    fn list(&self) -> PortResult<Vec<DeviceInfo>> {
        self.inner.list()
    }

    fn get(&self, id: DeviceId) -> PortResult<Option<DeviceInfo>> {
        self.inner.get(id)
    }

    fn users(&self, id: DeviceId) -> Vec<String> {
        self.inner.users(id)
    }

    fn is_lv_open(&self, volume: VolumeId) -> PortResult<bool> {
        self.inner.is_lv_open(volume)
    }

    fn clone_status(&self, id: DeviceId) -> PortResult<Option<CloneStatus>> {
        self.inner.clone_status(id)
    }

    fn halt_move(&self, volume: VolumeId) -> PortResult<Applied> {
        let inner = Arc::clone(&self.inner);
        let what = format!("halting what moves LV {volume}");
        self.halts
            .call(&volume, what, move || inner.halt_move(volume))
    }

    fn is_move_halted(&self, volume: VolumeId) -> PortResult<bool> {
        self.inner.is_move_halted(volume)
    }

    fn mirror_status(&self, id: DeviceId) -> PortResult<Option<MirrorStatus>> {
        self.inner.mirror_status(id)
    }

    fn split(&self, mirrors: &[Split]) -> PortResult<SplitAt> {
        let (inner, mirrors) = (Arc::clone(&self.inner), mirrors.to_vec());
        let ids: Vec<DeviceId> = mirrors.iter().map(|one| one.id).collect();
        let names: Vec<String> = ids.iter().map(DeviceId::to_string).collect();
        let what = format!("splitting device {}", names.join(" and "));
        self.calls
            .call_all(&ids, what, move || inner.split(&mirrors))
    }

    fn set_hydration(&self, id: DeviceId, on: bool) -> PortResult<()> {
        self.inner.set_hydration(id, on)
    }

    fn set_amounts(&self, id: DeviceId, threshold: u32, batch: u32) -> PortResult<()> {
        self.inner.set_amounts(id, threshold, batch)
    }

    fn region(&self, on: VolumeId, at: Sectors) -> PortResult<Option<Sectors>> {
        self.inner.region(on, at)
    }

    /// Without the deadline, as a flush.
    fn regions(&self, id: DeviceId, metadata: Backing) -> PortResult<RegionMap> {
        self.inner.regions(id, metadata)
    }

    fn pass_over(&self, id: DeviceId, region: Sectors, regions: &[Range<u64>]) -> PortResult<()> {
        self.inner.pass_over(id, region, regions)
    }

    fn io(&self, id: DeviceId) -> PortResult<Option<IoCounters>> {
        self.inner.io(id)
    }

    fn set_discards(&self, id: DeviceId, allowed: bool) -> PortResult<()> {
        self.inner.set_discards(id, allowed)
    }

    fn wait_event(&self, id: DeviceId, event: u32, at_most: Duration) -> PortResult<bool> {
        self.inner.wait_event(id, event, at_most)
    }

    fn zero_device(&self, id: DeviceId, amount: Bytes) -> PortResult<()> {
        self.call("zeroing", id, move |inner| inner.zero_device(id, amount))
    }

    /// Without the deadline: it is as long as the copy's disks need for what they have cached, and
    /// a write-back that is told it failed would begin it again.
    fn flush(&self, id: DeviceId) -> PortResult<()> {
        self.inner.flush(id)
    }

    fn link(&self, path: &LinkPath, id: DeviceId) -> PortResult<Applied> {
        self.inner.link(path, id)
    }

    fn unlink(&self, path: &LinkPath) -> PortResult<Applied> {
        self.inner.unlink(path)
    }

    fn links(&self) -> PortResult<Vec<LinkPath>> {
        self.inner.links()
    }
}

#[cfg(test)]
mod tests {
    use volward_model::DeviceRole;
    use volward_ports::PortError;

    use super::*;
    use crate::fake::FakeCluster;

    fn id(lv: &str) -> DeviceId {
        DeviceId {
            volume: VolumeId {
                vg: "v".repeat(32).parse().unwrap(),
                lv: lv.repeat(32).parse().unwrap(),
            },
            role: DeviceRole::Clone,
        }
    }

    #[test]
    fn i27_a_call_that_waits_for_udev_for_ever_keeps_back_its_device_and_no_other() {
        let cluster = FakeCluster::new(&["n1"]);
        let node = cluster.node("n1");
        let (let_go, hangs) = std::sync::mpsc::channel::<()>();
        node.before("remove-device", move |_| {
            let _until_then = hangs.recv();
        });
        let mut devices = Bounded::new(node);
        devices.calls = LateCalls::new("device", Duration::from_millis(100));
        let error = devices.remove(id("a")).unwrap_err();
        assert!(matches!(error, PortError::Deadline { .. }), "{error}");
        assert!(!error.needs_a_person(), "it is tried again");
        let error = devices.remove(id("a")).unwrap_err();
        assert!(matches!(error, PortError::Overloaded { .. }), "{error}");
        devices.remove(id("b")).unwrap();
        drop(let_go);
        while devices.remove(id("a")).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
