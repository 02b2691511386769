//! libvirt in memory: it says what a test has it say.

use volward_model::InstanceId;
use volward_plan::migrate::Job;
use volward_ports::{GuestDisks, Guests};

use crate::fake::FakeNode;

impl Guests for FakeNode {
    fn job(&self, instance: InstanceId) -> Job {
        let world = self.cluster().world();
        let job = world.node(self.name()).jobs.get(&instance);
        job.cloned().unwrap_or(Job::None)
    }

    fn disks(&self, instance: InstanceId) -> GuestDisks {
        let world = self.cluster().world();
        let has = world.node(self.name()).guest_disks.get(&instance);
        has.cloned().unwrap_or(GuestDisks::NotRunning)
    }
}

impl FakeNode {
    /// Whether the node's libvirt migrates an instance to another node, from now on.
    pub fn set_migrating(&self, instance: InstanceId, migrates: bool) {
        let job = match migrates {
            true => Job::MigratingOut { since: None },
            false => Job::None,
        };
        self.set_job(instance, job);
    }

    /// Which disks the node's libvirt says that an instance has, from now on.
    pub fn set_guest_disks(&self, instance: InstanceId, disks: GuestDisks) {
        let mut world = self.cluster().world();
        let node = world.node_mut(self.name());
        node.guest_disks.insert(instance, disks);
    }

    /// What the node's libvirt says of an instance's job from now on.
    pub fn set_job(&self, instance: InstanceId, job: Job) {
        let mut world = self.cluster().world();
        world.node_mut(self.name()).jobs.insert(instance, job);
    }
}
