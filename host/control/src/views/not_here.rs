//! What a detach was asked for and did not find on this node: where it is, as far as the pools tell.

use std::collections::BTreeMap;

use volward_model::{InstanceId, PoolInfo, PoolName, VolumeId, VolumeName};

use super::Views;
use crate::ports::PortResult;

impl Views {
    /// A sentence for each of these volumes that the instance does not have here, or, where none is named, for each that
    /// it has on another node. Reads the pools.
    pub(crate) fn not_here(
        &self,
        instance: InstanceId,
        volumes: &[(PoolName, VolumeName)],
    ) -> Vec<String> {
        let elsewhere = self.attachments_elsewhere();
        let mut sentences = Vec::new();
        if volumes.is_empty() {
            let of_instance = elsewhere.attachments.iter();
            let of_instance = of_instance.filter(|a| a.attachment.instance == instance);
            sentences.extend(of_instance.map(|found| {
                let (node, lv) = (&found.attachment.node, found.attachment.volume.lv);
                let volume = found.volume.as_ref();
                let volume = volume.map_or_else(|| format!("volume {lv}"), ToString::to_string);
                format!("the instance has {volume} on node {node}: detach it there")
            }));
        }
        let mut pools: BTreeMap<&PoolName, PortResult<PoolInfo>> = BTreeMap::new();
        for (pool, name) in volumes {
            if !self.settings.pools.contains(pool) {
                sentences.push(format!("pool {pool} is no shared pool of this node"));
                continue;
            }
            let read = pools
                .entry(pool)
                .or_insert_with(|| self.ports.volumes.pool(pool));
            match read.as_ref().map(|info| info.named(name)) {
                Err(error) => sentences.push(format!("pool {pool} cannot be read: {error}")),
                Ok(None) => sentences.push(format!(
                    "there is no volume {pool}/{name}; `volward pool ls` shows what there is"
                )),
                Ok(Some(found)) => {
                    let who = self.who_has(found.volume.id, &elsewhere.attachments);
                    sentences.push(match who.is_empty() {
                        true => format!("{pool}/{name} is attached nowhere that can be read"),
                        false => format!("{pool}/{name} is attached {}", who.join(", and ")),
                    });
                }
            }
        }
        // With what cannot be read nobody can say that there is no more.
        sentences.extend(elsewhere.unreadable);
        sentences
    }

    fn who_has(&self, volume: VolumeId, elsewhere: &[super::ClusterAttachment]) -> Vec<String> {
        let table = self.state.attachment_table();
        let here = table.of_volume(volume);
        let here = here.map(|a| format!("on this node to instance {}", a.instance));
        let mut who: Vec<String> = here.collect();
        let others = elsewhere.iter().map(|found| &found.attachment);
        let others = others.filter(|a| a.volume == volume);
        who.extend(others.map(|a| {
            let (node, instance) = (&a.node, a.instance);
            format!("on node {node} to instance {instance}: detach it there")
        }));
        who
    }
}
