//! What the hook needs when the daemon is down: marks of what each instance started with.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use volward_api::StartMark;
use volward_control::{Node, NotAfter};
use volward_model::InstanceId;

/// The folder of marks, one file an instance.
pub(crate) struct Marks {
    folder: PathBuf,
    boot_id: String,
}

impl Marks {
    /// Marks of this boot.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub(crate) fn new(folder: &Path, boot_id: String) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            boot_id,
        })
    }

    /// Makes the mark of an instance say what it has now; no file where it has nothing.
    pub(crate) fn refresh(&self, node: &Node, instance: InstanceId) {
        let newest = newest_marks(node).remove(&instance);
        if let Err(error) = self.write(instance, newest.as_ref()) {
            tracing::warn!(
                %instance, %error,
                "the start mark cannot be written; a release while the daemon is down would be \
                 lost"
            );
        }
    }

    /// Makes the whole folder say what is attached now.
    pub(crate) fn rebuild(&self, node: &Node) -> anyhow::Result<()> {
        let marks = newest_marks(node);
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let stale = name
                .parse::<InstanceId>()
                .map_or(true, |i| !marks.contains_key(&i));
            if stale {
                fs::remove_file(entry.path())?;
            }
        }
        for (instance, mark) in &marks {
            self.write(*instance, Some(mark))?;
        }
        Ok(())
    }

    fn write(&self, instance: InstanceId, mark: Option<&StartMark>) -> io::Result<()> {
        let path = self.folder.join(instance.to_string());
        let Some(mark) = mark else {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        };
        // Renamed into place: the hook never reads half of one.
        let fresh = self.folder.join(format!(".{instance}"));
        fs::write(&fresh, serde_json::to_vec(mark)?)?;
        fs::rename(&fresh, &path)
    }
}

impl volward_control::ports::Marks for Marks {
    fn announce(&self, instance: InstanceId, sequence: u64) {
        let mark = StartMark {
            boot_id: self.boot_id.clone(),
            sequence,
        };
        if let Err(error) = self.write(instance, Some(&mark)) {
            tracing::warn!(%instance, %error, "the start mark cannot be written");
        }
    }
}

fn newest_marks(node: &Node) -> BTreeMap<InstanceId, StartMark> {
    let mut marks: BTreeMap<InstanceId, StartMark> = BTreeMap::new();
    for attachment in node.attachments() {
        let mark = StartMark {
            boot_id: attachment.boot_id,
            sequence: attachment.sequence,
        };
        let newest = marks
            .entry(attachment.instance)
            .or_insert_with(|| mark.clone());
        newest.sequence = newest.sequence.max(mark.sequence);
    }
    marks
}

/// What a release is for: nothing that was attached after this mark.
pub(crate) fn not_after(mark: StartMark) -> NotAfter {
    NotAfter {
        boot_id: mark.boot_id,
        sequence: mark.sequence,
    }
}
