//! What the tests of the sandbox share: built guests, facts, and a policies folder.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use volward_folder::{Folder, NamedFolder};
use volward_model::{
    Access, Attachment, AttachmentState, Bytes, DecisionRecord, DiskFacts, Facts, Fault, FaultKind,
    Home, InstanceId, NodeFacts, Origin, Purpose, RequestFacts, RequestId, Sharing, Space, Verdict,
    VolumeId,
};
use volward_policy::{Chain, CompileError, Compiler, Keeping, Limits, Runtime, Sources};
use volward_workbench::InProcess;
use volward_workbench::chain::BASELINE_COMPONENT;

/// A built component of `plugins/` or `examples/`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/guests/{name}.wasm"));
    fs::read(&path)
        .unwrap_or_else(|error| panic!("no {} ({error}): run `cargo xtask guests`", path.display()))
}

/// A policies folder and a cache, gone at the end of the test.
pub(crate) struct Lab {
    pub(crate) root: tempfile::TempDir,
    pub(crate) limits: Limits,
    pub(crate) baseline: bool,
    /// Tests exchange versions faster than people: each is remembered, unless a test is about that.
    pub(crate) keeping: Keeping,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["policies.d", "cache", "versions"] {
            fs::create_dir(root.path().join(folder)).unwrap();
            chmod(&root.path().join(folder), 0o755);
        }
        // Far more than anything takes: tests that want a deadline set one.
        let limits = Limits {
            deadline_ms: 2_000,
            ..Limits::default()
        };
        Self {
            root,
            limits,
            baseline: true,
            keeping: Keeping {
                settled: Duration::ZERO,
                ..Keeping::default()
            },
        }
    }

    pub(crate) fn policies(&self) -> PathBuf {
        self.root.path().join("policies.d")
    }

    /// The policies folder, as the daemon holds it.
    pub(crate) fn named(&self) -> NamedFolder {
        NamedFolder::at(&self.policies()).unwrap()
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.root.path().join("cache")
    }

    pub(crate) fn versions(&self) -> PathBuf {
        self.root.path().join("versions")
    }

    /// Drops a file into the policies folder.
    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.policies().join(name);
        fs::write(&path, content).unwrap();
        chmod(&path, 0o644);
        path
    }

    /// Drops the misbehaving policy in, told what to do.
    pub(crate) fn put_hostile(&self, settings: &str) {
        self.put("50-hostile.wasm", guest("hostile"));
        self.put("50-hostile.toml", settings);
    }

    pub(crate) fn runtime(&self) -> Runtime {
        Runtime::new(
            self.limits.clone(),
            Some(Folder::open(&self.cache()).unwrap()),
            uid(),
            Box::new(Once),
        )
        .unwrap()
        .keeping_versions(Folder::open(&self.versions()).unwrap())
        .keeping(self.keeping)
        .trying_with(BASELINE_COMPONENT)
    }

    pub(crate) fn load(&self) -> Chain {
        let baseline = guest("baseline");
        let baseline = self.baseline.then_some(&*baseline);
        self.runtime().load(Sources {
            baseline,
            folder: &self.named(),
        })
    }
}

/// Compiles every component once for all tests.
pub(crate) struct Once;

impl Compiler for Once {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, CompileError> {
        static COMPILED: Mutex<BTreeMap<Vec<u8>, Vec<u8>>> = Mutex::new(BTreeMap::new());

        // A failed test may have poisoned it; what is in it is whole.
        let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(artefact) = compiled.get(component) {
            return Ok(artefact.clone());
        }
        let artefact = InProcess::new()?.compile(component)?;
        compiled.insert(component.to_vec(), artefact.clone());
        Ok(artefact)
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(crate) fn volume(letter: &str) -> VolumeId {
    VolumeId {
        vg: "g".repeat(32).parse().unwrap(),
        lv: letter.repeat(32).parse().unwrap(),
    }
}

/// A free disk, asked for exclusively and read-write.
pub(crate) fn disk(letter: &str) -> DiskFacts {
    DiskFacts {
        id: volume(letter),
        pool: "vg0".parse().unwrap(),
        name: format!("disk-{letter}").parse().unwrap(),
        size: Bytes(10 << 30),
        shareable: false,
        tags: Vec::new(),
        home: Home::POOL,
        attachments: Vec::new(),
        hydration: None,
        asked_sharing: Sharing::Exclusive,
        asked_access: Access::ReadWrite,
    }
}

pub(crate) fn facts(disks: Vec<DiskFacts>) -> Facts {
    let id = |n| uuid::Uuid::from_u128(n);
    Facts {
        request: RequestFacts {
            id: RequestId(id(1)),
            origin: Origin::Libvirt,
            caller_uid: 0,
            purpose: Purpose::Boot,
            instance: InstanceId(id(2)),
            instance_name: "web-1".to_owned(),
            hints: vec![("hint".to_owned(), "worth".to_owned())],
        },
        node: NodeFacts {
            name: "n1".parse().unwrap(),
            labels: vec![("rack".to_owned(), "r7".to_owned())],
            local: Some(Space {
                total: Bytes(100 << 30),
                free: Bytes(50 << 30),
                promised: Bytes(0),
            }),
            io_pressure: Some(120),
            attachments: Some(7),
        },
        peer: None,
        operation: None,
        disks,
        held: Vec::new(),
        now_ms: 1_790_000_000_000,
        utc_offset_minutes: 120,
    }
}

/// Somebody else's attachment of a disk.
pub(crate) fn held_elsewhere(letter: &str, sharing: Sharing) -> Attachment {
    Attachment {
        volume: volume(letter),
        instance: InstanceId(uuid::Uuid::from_u128(3)),
        node: "n2".parse().unwrap(),
        sharing,
        access: Access::ReadWrite,
        since_ms: 1,
        state: AttachmentState::Attached,
    }
}

/// What the named policy said.
pub(crate) fn verdict<'a>(record: &'a DecisionRecord, policy: &str) -> &'a Verdict {
    let said = record.plugins.iter().find(|p| p.plugin == policy);
    &said
        .unwrap_or_else(|| panic!("{policy} was not asked: {record:#?}"))
        .verdict
}

/// The fault of the named policy, which must have one.
pub(crate) fn fault<'a>(record: &'a DecisionRecord, policy: &str) -> &'a Fault {
    match verdict(record, policy) {
        Verdict::Faulted(fault) => fault,
        other => panic!("no fault but {other:?}"),
    }
}

pub(crate) fn fault_kind(record: &DecisionRecord, policy: &str) -> FaultKind {
    fault(record, policy).kind
}
