//! One disk of an attach request, and the policies' answer about it.

use volward_model::{Access, Answer, Bytes, DiskAnswer, Home, Sharing, VolumeId, VolumeRef};

use crate::input::{DiskForm, VolumeInput};
use crate::refusal::{Refusal, RefusalCode, home_of};
use crate::witness::copied_size;

/// How a caller asks for a disk, before defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskOptions {
    /// The device that the guest opens.
    pub form: DiskForm,
    /// Read-only or read-write.
    pub access: Access,
    /// `None`: shared for read-only access to a volume that is marked shareable, else exclusive.
    pub sharing: Option<Sharing>,
    /// Whether the caller takes less sharing or access than asked for, if a policy allows no more.
    pub accept_narrowing: bool,
}

/// One disk of an attach request: what is asked for, and what is known of the volume. A volume
/// whose home cannot be read does not become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedDisk {
    /// The volume as this node sees it.
    pub input: VolumeInput,
    /// Where the volume's data is, read from the home tag in `input`.
    pub home: Home,
    /// The device that the guest opens.
    pub form: DiskForm,
    /// The sharing asked for, the default resolved.
    pub sharing: Sharing,
    /// The access asked for.
    pub access: Access,
    /// Whether the caller takes less sharing or access than asked for.
    pub accept_narrowing: bool,
}

impl RequestedDisk {
    /// Joins a volume with the options it is asked for with, and reads its home.
    ///
    /// # Errors
    /// [`RefusalCode::HomeUnreadable`] if the volume's home tag cannot be understood.
    pub fn new(input: VolumeInput, options: DiskOptions) -> Result<Self, Refusal> {
        let home = home_of(&input.info)?;
        let default = match options.access == Access::ReadOnly && input.info.shareable() {
            true => Sharing::Shared,
            false => Sharing::Exclusive,
        };
        Ok(Self {
            input,
            home,
            form: options.form,
            sharing: options.sharing.unwrap_or(default),
            access: options.access,
            accept_narrowing: options.accept_narrowing,
        })
    }

    /// The size of the guest's device in bytes: the volume's, or its copy's where the data is in
    /// that. A volume that was grown since shows its new end when the copy is back home.
    #[must_use]
    pub fn size(&self) -> Bytes {
        copied_size(&self.home, &self.input)
    }

    /// The volume, with the name it has now.
    #[must_use]
    pub fn volume(&self) -> &VolumeRef {
        &self.input.info.volume
    }
}

/// Each requested disk with its answer, in the request's order, joined by the volume's identity.
///
/// # Errors
/// [`RefusalCode::Twice`] if the request names a volume twice; [`RefusalCode::AnswerMismatch`] if
/// the answer has no entry for a disk, several for one, or one for a volume not asked for.
pub(crate) fn matched<'a>(
    disks: &'a [RequestedDisk],
    answer: &'a Answer,
) -> Result<Vec<(&'a RequestedDisk, &'a DiskAnswer)>, Refusal> {
    let asked = |id: VolumeId| disks.iter().filter(|d| d.volume().id == id).count();
    if let Some(disk) = disks.iter().find(|d| asked(d.volume().id) > 1) {
        let name = disk.volume();
        let message = format!("{name} is asked for twice in one request; name each volume once");
        return Err(Refusal::of(RefusalCode::Twice, name, message));
    }
    if let Some(stray) = answer.disks.iter().find(|a| asked(a.volume) == 0) {
        return Err(Refusal::stray_answer(stray.volume));
    }
    let mut pairs = Vec::with_capacity(disks.len());
    for disk in disks {
        let mut answers = answer.disks.iter().filter(|a| a.volume == disk.volume().id);
        match (answers.next(), answers.next()) {
            (Some(one), None) => pairs.push((disk, one)),
            (found, _) => return Err(Refusal::answers_to(disk.volume(), found.is_some())),
        }
    }
    Ok(pairs)
}
