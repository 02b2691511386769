//! One decision about a request of ten disks: the shipped chain, against wasmtime alone with the
//! same component, the same facts and the same pool of instances.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use volward_folder::NamedFolder;
use volward_model::{
    Access, Attachment, AttachmentState, Bytes, Combined, DiskFacts, Facts, Home, InstanceId,
    LvmUuid, NodeFacts, Origin, Purpose, RequestFacts, RequestId, Sharing, Space, VolumeId,
};
use volward_policy::{Limits, Runtime, Sources};
use volward_workbench::InProcess;

use crate::bare::Bare;
use crate::samples::{Pairs, time};

/// A guest with many disks.
const DISKS: usize = 10;
/// Decisions before the first that counts: caches, the pool's first slots, the ticker awake.
const WARM_UP: usize = 2_000;

/// Measures single decisions.
pub(crate) fn measure(component: &Path, rounds: usize) -> anyhow::Result<Pairs> {
    let component = fs::read(component)
        .with_context(|| format!("{} (`cargo xtask guests`)", component.display()))?;
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let owner = rustix::process::geteuid().as_raw();
    let runtime = Runtime::new(Limits::default(), None, owner, Box::new(InProcess::new()?))?;
    let chain = runtime.load(Sources {
        baseline: Some(&component),
        folder: &NamedFolder::at(folder.path())?,
    });
    let bare = Bare::new(&component)?;
    let facts = facts()?;
    let shared = Arc::new(facts.clone());

    let record = chain.attach(&facts);
    ensure!(
        matches!(record.combined, Combined::Granted(_)),
        "the baseline answered {:?}",
        record.combined
    );
    bare.decide(&shared)?;

    let ours = || time(|| Ok(chain.attach(&facts)));
    let base = || time(|| bare.decide(&shared));
    Pairs::measure(WARM_UP, ours, base)?;
    Pairs::measure(rounds, ours, base)
}

/// Ten disks, each read-only and shareable and read by somebody on another node already.
pub(crate) fn facts() -> anyhow::Result<Facts> {
    let disks = (0..DISKS).map(disk).collect::<anyhow::Result<_>>()?;
    Ok(Facts {
        request: RequestFacts {
            id: RequestId(uuid::Uuid::from_u128(1)),
            origin: Origin::Libvirt,
            caller_uid: 0,
            purpose: Purpose::Boot,
            instance: InstanceId(uuid::Uuid::from_u128(2)),
            instance_name: "web-1".into(),
            hints: Vec::new(),
        },
        node: NodeFacts {
            name: "node1".parse()?,
            labels: vec![("rack".into(), "r1".into())],
            local: Some(Space {
                total: Bytes(1 << 40),
                free: Bytes(1 << 39),
                promised: Bytes(0),
            }),
            io_pressure: Some(12),
            attachments: Some(7),
        },
        peer: None,
        operation: None,
        disks,
        held: Vec::new(),
        now_ms: 1_700_000_000_000,
        utc_offset_minutes: 60,
    })
}

fn disk(number: usize) -> anyhow::Result<DiskFacts> {
    let uuid = |letter: char| letter.to_string().repeat(32).parse::<LvmUuid>();
    let letter = char::from(b'a' + u8::try_from(number)?);
    let id = VolumeId {
        vg: uuid('G')?,
        lv: uuid(letter)?,
    };
    Ok(DiskFacts {
        id,
        pool: "vg0".parse()?,
        name: format!("web-1-disk-{number}").parse()?,
        size: Bytes(10 << 30),
        shareable: true,
        tags: vec!["tier=gold".into()],
        home: Home::POOL,
        attachments: vec![Attachment {
            volume: id,
            instance: InstanceId(uuid::Uuid::from_u128(3)),
            node: "node2".parse()?,
            sharing: Sharing::Shared,
            access: Access::ReadOnly,
            since_ms: 1_690_000_000_000,
            state: AttachmentState::Attached,
        }],
        hydration: None,
        asked_sharing: Sharing::Shared,
        asked_access: Access::ReadOnly,
    })
}
