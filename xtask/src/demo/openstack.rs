//! The chapter about OpenStack: what nova's and Cinder's drivers ask of the daemon.

use anyhow::{Context, Result};

use super::stage::Stage;

/// Where the package is on the node, and what is typed there.
const FOLDER: &str = "/root/demo";
/// What the chapter needs of it; the drivers themselves need nova and Cinder beside them.
const PACKAGE: [&str; 6] = [
    "__init__",
    "attachments",
    "client",
    "operations",
    "problems",
    "shapes",
];
/// The volume's id in Cinder, and the server's in nova.
const VOLUME: &str = "5d0c1f3e-70de-4b52-8f0a-2b6f3f6a5c11";
const SERVER: &str = "c0ffee0a-0000-4000-8000-000000000000";

/// As Cinder's driver makes a volume.
const MAKES: &str = "\
from volward_openstack import operations
from volward_openstack.client import Client

daemon = Client()
def begin(operation):
    return daemon.volume_create(
        {'id': operation, 'pool': 'vg0', 'volume': 'volume-VOLUME', 'size': 64 << 20}
    )['operation']
made = operations.done(daemon, 'cinder:create:VOLUME', begin)
print(made['state'], made['volume_id'])
";
/// As nova's driver has it attached, and lets it go.
const NOVA: &str = "\
import sys
from volward_openstack import attachments
from volward_openstack.client import Client

disk = attachments.Disk('vg0', 'volume-VOLUME', 'read-write', False)
server = attachments.Owner('SERVER', 'instance-0000000a', 'boot', [('project-id', 'demo')])
print(getattr(attachments, sys.argv[1])(Client(), disk, server))
";
/// What `openstack volume list --all-projects --long -f json` says of it, to whom nobody has told.
const LISTED: &str = r#"[{"ID": "VOLUME", "Name": "data", "Status": "available", "Size": 1, "Attached to": []}]
"#;

/// Makes a volume, attaches it, and names what Cinder does not know of.
pub(super) fn asks(stage: &Stage<'_>) -> Result<()> {
    let node = stage.node(1);
    for module in PACKAGE {
        let source = stage
            .root()
            .join(format!("openstack/volward_openstack/{module}.py"));
        let text = std::fs::read(&source).with_context(|| format!("reading {module}.py"))?;
        node.put_file(
            &format!("{FOLDER}/volward_openstack/{module}.py"),
            0o644,
            text,
        )?;
    }
    for (name, text) in [
        ("cinder.py", MAKES),
        ("nova.py", NOVA),
        ("volumes.json", LISTED),
    ] {
        let text = text.replace("VOLUME", VOLUME).replace("SERVER", SERVER);
        node.put_file(&format!("{FOLDER}/{name}"), 0o644, text)?;
    }
    stage.say(
        "nova and Cinder ask the daemon through its socket, with a Python package that holds no rule. They are not \
         on these nodes (`cargo xtask test long` has them there, which takes half an hour); these are the calls that \
         their drivers make. Cinder's makes a volume under an id of Cinder's, so that a retry finds it:",
    );
    let python = |words: &str| format!("cd {FOLDER} && python3 {words}");
    stage.works(1, &format!("cat {FOLDER}/cinder.py"))?;
    stage.works(1, &python("cinder.py"))?;
    stage.works(1, &python("cinder.py"))?;
    stage.works(1, "volward op ls")?;
    stage.say("nova's has it attached for a server:");
    stage.works(1, &python("nova.py attach"))?;
    stage.works(1, "volward ls")?;
    stage.say("Cinder was not told of that. The audit compares its list with what the nodes have:");
    let audit = format!("volward audit openstack {FOLDER}/volumes.json");
    stage.refused(1, &audit, SERVER)?;
    stage.works(1, &python("nova.py detach"))?;
    stage.works(1, &audit)?;
    stage.works(1, &format!("volward volume rm vg0/volume-{VOLUME}"))?;
    Ok(())
}
