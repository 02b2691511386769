//! What is not as it should be about a configuration that can be used: `--check` says it, and `doctor`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Config, PoolKind};

/// Write permission of the group and of everybody.
const OTHERS_WRITE: u32 = 0o022;

impl Config {
    /// Sentences, the gravest first; none where all is well.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<String> = self.who_may_write().into_iter().collect();
        if !self.pool.iter().any(|pool| pool.kind == PoolKind::Shared) {
            remarks.push(
                "no shared pool is configured, so nothing can be attached: add a [[pool]] section for \
                 the volume group on the LUN"
                    .to_owned(),
            );
        }
        remarks
    }

    /// A sentence where the policies folder is missing: an empty folder is no policies, a missing one a fault.
    #[expect(
        clippy::disallowed_methods,
        reason = "the configuration says where it is; only whether it is there is asked"
    )]
    pub(crate) fn no_policies_folder(&self) -> Option<String> {
        let folder = &self.paths.policies;
        let shown = folder.display();
        (!folder.is_dir()).then(|| {
            format!(
                "the folder of policies, {shown}, is missing, and every attach is refused without it: \
                 mkdir -m 755 {shown} (empty, it adds none)"
            )
        })
    }

    /// A sentence where others than root may write the file.
    #[expect(
        clippy::disallowed_methods,
        reason = "the operator says where it is; only its owner and mode are looked at"
    )]
    pub(crate) fn who_may_write(&self) -> Option<String> {
        let about = std::fs::metadata(&self.file).ok()?;
        writable(&self.file, about.uid(), about.mode())
    }
}

/// A daemon of root does what its configuration says: whoever may write that is root.
fn writable(path: &Path, owner: u32, mode: u32) -> Option<String> {
    let shown = path.display();
    if owner != 0 {
        return Some(format!(
            "{shown} belongs to user id {owner}, who decides with it what a daemon of root does: chown \
             root {shown}"
        ));
    }
    (mode & OTHERS_WRITE != 0).then(|| {
        format!(
            "{shown} has mode {:04o}, so others than root may write it: chmod go-w {shown}",
            mode & 0o7777
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_others_may_write_is_named_with_the_command() {
        let path = Path::new("/etc/volward/volward.toml");
        assert_eq!(writable(path, 0, 0o100_644), None);
        assert_eq!(writable(path, 0, 0o100_600), None);
        for mode in [0o100_666, 0o100_664, 0o100_646] {
            let said = writable(path, 0, mode).unwrap();
            assert!(
                said.contains("chmod go-w /etc/volward/volward.toml"),
                "{said}"
            );
        }
        let theirs = writable(path, 1000, 0o100_600).unwrap();
        assert!(theirs.contains("user id 1000"), "{theirs}");
    }

    #[test]
    fn no_shared_pool_is_said_of_an_empty_file_and_of_a_local_pool_alone() {
        let nowhere = Path::new("/nonexistent/volward.toml");
        let remarks = |text: &str| Config::parse(text, nowhere).unwrap().remarks();
        let local = "[[pool]]\nname = \"fast\"\nkind = \"local\"\n";
        for text in ["", local] {
            let said = remarks(text);
            assert!(said[0].contains("no shared pool"), "{said:?}");
        }
        let shared = "[[pool]]\nname = \"vg0\"\nkind = \"shared\"\n";
        assert_eq!(remarks(shared), [""; 0]);
    }

    #[test]
    fn a_folder_of_policies_that_is_missing_is_said_and_an_empty_one_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("policies.d");
        let text = format!("[paths]\npolicies = \"{}\"\n", at.display());
        let config = Config::parse(&text, Path::new("/nonexistent/volward.toml")).unwrap();
        let said = config.no_policies_folder().unwrap();
        assert!(said.contains("mkdir -m 755"), "{said}");
        std::fs::create_dir(&at).unwrap();
        assert_eq!(config.no_policies_folder(), None);
    }
}
