//! The kernel in memory.

use volward_ports::Machine;

use crate::fake::FakeNode;

impl Machine for FakeNode {
    fn boot_id(&self) -> String {
        let world = self.cluster().world();
        let node = world.node(self.name());
        format!("{}-boot-{}", self.name(), node.boot)
    }

    fn io_pressure(&self) -> Option<u32> {
        self.cluster().world().node(self.name()).io_pressure
    }

    fn dm_clone_unfit(&self) -> Option<String> {
        let world = self.cluster().world();
        world.node(self.name()).dm_clone_unfit.clone()
    }
}
