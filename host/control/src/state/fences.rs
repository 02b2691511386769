//! Attachments whose I/O is cut off, or is to be.

use std::collections::{BTreeMap, BTreeSet};

use volward_model::{AttachmentKey, InstanceId};
use volward_plan::fence::GiveBack;

use super::recording::Recording;
use crate::ports::{FenceRecord, StoredAttachment};

/// One attachment whose I/O is cut off, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// Why, a sentence without a full stop.
    pub reason: String,
    /// When that was found, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The error table is live and nothing is in flight. `false`: I/O that was in flight has not
    /// ended yet, or the table could not be loaded; it is tried again.
    pub cut: bool,
    /// The same lease may be sound again.
    pub regainable: bool,
    /// sanlock's version of the lease before; `None` where it was not seen.
    pub version: Option<u64>,
    /// Somebody asked for it: who wants the I/O back has to ask for that too.
    pub asked: bool,
}

/// An attachment, told apart from a later one of the same volume to the same instance by when it
/// was granted.
type Which = (AttachmentKey, u64);

fn which(attachment: &StoredAttachment) -> Which {
    (attachment.key(), attachment.since_ms)
}

/// All of a node's.
#[derive(Debug, Default)]
pub(crate) struct Fences {
    all: BTreeMap<Which, Fenced>,
    /// Their tables are being loaded.
    under_way: BTreeSet<Which>,
    /// Why the last try failed: what is tried again and again is told once.
    told: BTreeMap<Which, String>,
    /// Which instances were given their I/O back by themselves, and how often.
    given_back: BTreeMap<InstanceId, GiveBack>,
    recording: Recording,
}

impl Fences {
    /// Notes that the attachment is to be cut off. `true`: whoever asks is to do it now; `false` if
    /// that is done or under way. A reason that leaves no way back replaces one that does.
    pub(crate) fn begin(&mut self, attachment: &StoredAttachment, fenced: Fenced) -> bool {
        let which = which(attachment);
        let before = self.all.get(&which).cloned();
        let known = self.all.entry(which).or_insert_with(|| fenced.clone());
        known.asked |= fenced.asked;
        if known.regainable && !fenced.regainable {
            let (cut, asked) = (known.cut, known.asked);
            *known = Fenced {
                cut,
                asked,
                ..fenced
            };
        }
        let changed = before.as_ref() != Some(&*known);
        self.recording.changed(changed);
        !known.cut && self.under_way.insert(which)
    }

    /// Whoever was to do it has done it. Its reason, where it is still of interest.
    pub(crate) fn done(&mut self, attachment: &StoredAttachment) -> Option<String> {
        let which = which(attachment);
        self.under_way.remove(&which);
        self.told.remove(&which);
        let fenced = self.all.get_mut(&which)?;
        fenced.cut = true;
        self.recording.changed(true);
        Some(fenced.reason.clone())
    }

    /// Whoever was to do it has failed, and it is tried again. Whether that is news.
    pub(crate) fn failed(&mut self, attachment: &StoredAttachment, why: &str) -> bool {
        let which = which(attachment);
        self.under_way.remove(&which);
        self.told.insert(which, why.to_owned()).as_deref() != Some(why)
    }

    /// Forgets an attachment that is about to have its I/O back; what was known of it.
    pub(crate) fn lift(&mut self, attachment: &StoredAttachment) -> Option<Fenced> {
        self.recording.changed(true);
        self.all.remove(&which(attachment))
    }

    /// It does not get its I/O back after all.
    pub(crate) fn put_back(&mut self, attachment: &StoredAttachment, fenced: Fenced) {
        self.recording.changed(true);
        self.all.entry(which(attachment)).or_insert(fenced);
    }

    /// What an earlier daemon has cut off and put on record.
    pub(crate) fn take_up(&mut self, attachment: &StoredAttachment, fenced: Fenced) {
        self.all.insert(which(attachment), fenced);
    }

    /// What is to be put on record, if it is not, and nobody does it now.
    pub(crate) fn take_unrecorded(&mut self) -> Option<Vec<FenceRecord>> {
        if !self.recording.begin() {
            return None;
        }
        // What is not cut off yet is cut off again by whoever finds the reason again.
        let cut = self.all.iter().filter(|(_, fenced)| fenced.cut);
        let record = |((attachment, granted_ms), fenced): (&Which, &Fenced)| FenceRecord {
            attachment: *attachment,
            granted_ms: *granted_ms,
            reason: fenced.reason.clone(),
            since_ms: fenced.since_ms,
            regainable: fenced.regainable,
            version: fenced.version,
            asked: fenced.asked,
        };
        Some(cut.map(record).collect())
    }

    /// Whether it could be put on record; it is tried again where not.
    pub(crate) fn recorded(&mut self, done: bool) {
        self.recording.end(done);
    }

    /// When an instance had its I/O given back by itself, to be noted there.
    pub(crate) fn given_back(&mut self, instance: InstanceId) -> &mut GiveBack {
        self.given_back.entry(instance).or_default()
    }

    /// Forgets what is not among these.
    pub(crate) fn keep<'a>(&mut self, attached: impl Iterator<Item = &'a StoredAttachment>) {
        let attached: BTreeSet<Which> = attached.map(which).collect();
        let has = |instance: &InstanceId| attached.iter().any(|(key, _)| key.instance == *instance);
        self.given_back.retain(|instance, _| has(instance));
        let known = self.all.len();
        self.all.retain(|which, _| attached.contains(which));
        self.recording.changed(self.all.len() != known);
        self.under_way.retain(|which| attached.contains(which));
        self.told.retain(|which, _| attached.contains(which));
    }

    /// That of an attachment.
    pub(crate) fn get(&self, attachment: &StoredAttachment) -> Option<&Fenced> {
        self.all.get(&which(attachment))
    }
}

#[cfg(test)]
mod tests {
    use volward_model::{Access, AttachmentState, Claim, Sharing, VolumeId, VolumeRef};
    use volward_plan::DiskForm;

    use super::*;

    fn attachment(since_ms: u64) -> StoredAttachment {
        StoredAttachment {
            volume: VolumeRef {
                id: VolumeId {
                    vg: "v".repeat(32).parse().unwrap(),
                    lv: "l".repeat(32).parse().unwrap(),
                },
                pool: "vg0".parse().unwrap(),
                name: "a".parse().unwrap(),
            },
            instance: "11111111-2222-3333-4444-555555555555".parse().unwrap(),
            instance_name: String::new(),
            form: DiskForm::Own,
            sharing: Sharing::Exclusive,
            access: Access::ReadWrite,
            asked: Access::ReadWrite,
            claims: [Claim::Libvirt].into(),
            copy: None,
            since_ms,
            sequence: 1,
            boot_id: "b".to_owned(),
            state: AttachmentState::Attached,
            causes: Vec::new(),
            migration: None,
        }
    }

    fn lost() -> Fenced {
        Fenced {
            reason: "lost".to_owned(),
            since_ms: 5,
            cut: false,
            regainable: false,
            version: None,
            asked: false,
        }
    }

    /// The guest was stopped and started again before anybody looked.
    #[test]
    fn i2_what_is_attached_again_is_cut_off_anew() {
        let (first, second) = (attachment(1), attachment(2));
        let mut fences = Fences::default();
        assert!(fences.begin(&first, lost()));
        assert!(!fences.begin(&first, lost()), "it is under way");
        assert_eq!(fences.get(&second), None);
        assert!(fences.begin(&second, lost()));
        // A load of the one before that ends late says nothing of this one.
        fences.done(&first);
        assert!(!fences.get(&second).unwrap().cut);
        fences.keep([&second].into_iter());
        assert_eq!(fences.done(&first), None);
        assert!(fences.done(&second).is_some() && fences.get(&second).unwrap().cut);
    }

    #[test]
    fn what_somebody_asked_for_stays_asked_for_whatever_else_is_found() {
        let one = attachment(1);
        let mut fences = Fences::default();
        let regainable = Fenced {
            regainable: true,
            ..lost()
        };
        fences.begin(&one, regainable.clone());
        let asked = Fenced {
            asked: true,
            ..regainable
        };
        fences.begin(&one, asked);
        assert!(fences.get(&one).is_some_and(|f| f.asked && f.regainable));
        fences.begin(&one, lost());
        assert!(fences.get(&one).is_some_and(|f| f.asked && !f.regainable));
    }

    #[test]
    fn a_failure_is_told_once_and_tried_again() {
        let one = attachment(1);
        let mut fences = Fences::default();
        assert!(fences.begin(&one, lost()));
        assert!(fences.failed(&one, "busy"));
        assert!(fences.begin(&one, lost()));
        assert!(!fences.failed(&one, "busy"));
        assert!(fences.begin(&one, lost()));
        assert!(fences.failed(&one, "gone"));
    }
}
