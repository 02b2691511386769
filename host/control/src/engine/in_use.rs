//! Devices of attachments that cannot be removed because somebody has them open.

use volward_model::{DeviceId, InstanceId};

use super::Engine;
use crate::ports::PortError;

impl Engine {
    /// Of a device that stays in use: who has it, and what releases it. A guest keeps its disk until it ends,
    /// however often a detach is asked for.
    pub(super) fn kept_open(
        &self,
        id: DeviceId,
        instance: InstanceId,
        error: PortError,
    ) -> PortError {
        let users = match error.is_busy() {
            true => self.ports.devices.users(id),
            false => Vec::new(),
        };
        if users.is_empty() {
            return error;
        }
        let is_guest = |user: &String| user.starts_with("qemu");
        let so = match users.iter().all(is_guest) {
            true => format!(
                "that is its guest{}, which runs and goes on: stop it, and its end releases the volume by itself",
                self.called(instance)
            ),
            false => "end what is no guest, then detach again; a guest that runs has to be stopped, and its end \
                      releases the volume by itself"
                .to_owned(),
        };
        PortError::Open {
            what: format!("device {id}"),
            by: users.join(", "),
            so,
        }
    }

    /// ` NAME`, where somebody has said it.
    fn called(&self, instance: InstanceId) -> String {
        let table = self.state.attachment_table();
        let mut names = table.of_instance(instance).map(|a| &a.instance_name);
        let name = names.find(|name| !name.is_empty());
        name.map_or_else(String::new, |name| format!(" {name}"))
    }
}
