//! Cinder, nova's libvirt driver and os-brick on the nodes: Python of target/openstack, which nodes see below /host,
//! and the scripts of openstack/tests that start it. On node 1 Cinder's API, scheduler and volume service; on each
//! node what nova-compute consists of below its manager.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::guest::Guest;
use crate::{Cluster, LabError, Node, Result};

/// Where each goes below [`HOME`], and its text.
const SCRIPTS: [(&str, &str); 5] = [
    (
        "tests/nodes/timing.py",
        include_str!("../../../openstack/tests/nodes/timing.py"),
    ),
    (
        "tests/nodes/compute.py",
        include_str!("../../../openstack/tests/nodes/compute.py"),
    ),
    (
        "tests/nodes/records.py",
        include_str!("../../../openstack/tests/nodes/records.py"),
    ),
    (
        "tests/nodes/ask.py",
        include_str!("../../../openstack/tests/nodes/ask.py"),
    ),
    (
        "tests/hosts/cinder_service.py",
        include_str!("../../../openstack/tests/hosts/cinder_service.py"),
    ),
];

/// What volward.toml has to say of the user that Cinder runs as.
pub const RIGHTS: &str = "[api]\ncinder-uids = [64061]\n";
/// Debian's number of it.
const USER: u32 = 64061;

/// On a node: scripts, and the folders of what runs. It is a virtual environment of Python.
const HOME: &str = "/run/lab/openstack";
/// Where Cinder answers.
const API: &str = "10.9.0.1:8776";

/// nova's modules are imported in two minutes, Cinder's in three where the machine has other things to do.
const START: Duration = Duration::from_secs(900);
/// A volume is zeroed or copied, or a guest is started or migrated.
const SLOW: Duration = Duration::from_secs(900);

/// Debian's own Python has libvirt's binding, what was fetched has the rest.
const PREPARE: &str = "
set -eu
packages=/host/openstack/hosts
if [ ! -d $packages/lib ]; then
    echo 'there is no target/openstack/hosts: cargo xtask test openstack, or test long, fetches it' >&2
    exit 1
fi
mkdir -p bin cinder compute
ln -sf /usr/bin/python3 bin/python
printf 'home = /usr/bin\\ninclude-system-site-packages = true\\n' > pyvenv.cfg
ln -sfn $packages/lib lib
ln -sfn $packages/etc etc
mkfifo input
";

/// What nova's driver takes to connect a volume of vg0 on a node, and what the daemon's attach of it alone does, in
/// turn: as `tests/nodes/timing.py` of openstack prints it.
///
/// # Errors
/// When target/openstack lacks something, or an attach is refused.
pub fn timed(node: &Node, volume: &str, pairs: usize) -> Result<String> {
    put(node)?;
    let words =
        format!("cd {HOME} && bin/python -W ignore -m tests.nodes.timing vg0 {volume} {pairs}");
    node.run_ok_within(START, &words)
}

/// Scripts and Python on a node.
fn put(node: &Node) -> Result<()> {
    for (name, text) in SCRIPTS {
        node.put_file(&format!("{HOME}/{name}"), 0o644, text)?;
    }
    node.run_ok(&format!("cd {HOME}\n{PREPARE}")).map(drop)
}

/// What runs, until the nodes end.
#[derive(Debug)]
pub struct Openstack<'a> {
    cluster: &'a Cluster,
}

impl<'a> Openstack<'a> {
    /// Starts it all, which takes minutes.
    ///
    /// # Errors
    /// When target/openstack lacks something, or a service does not answer; with its last words.
    pub fn start(cluster: &'a Cluster) -> Result<Self> {
        let begun = Instant::now();
        let stack = Self { cluster };
        cluster.on_all(|node| {
            put(node)?;
            if node.number() == 1 {
                let words = format!(
                    "setpriv --reuid {USER} --regid {USER} --clear-groups \
                     bin/python -W ignore -m tests.hosts.cinder_service {HOME}/cinder 10.9.0.1 8776 <> input"
                );
                // It ends with its input, which this one does not.
                node.run_ok(&format!("chown {USER} {HOME}/cinder"))?;
                begin(node, "cinder", &words)?;
            }
            let number = node.number();
            let words = format!(
                "bin/python -W ignore -m tests.nodes.compute \
                 {HOME}/compute node{number} 10.9.0.{number} http://{API} < /dev/null"
            );
            begin(node, "compute", &words)
        })?;
        cluster.on_all(|node| {
            started(node, "compute", "[ -S compute/socket ]")?;
            if node.number() == 1 {
                // Its address, when it serves.
                started(node, "cinder", "[ -s cinder/said ]")?;
            }
            Ok(())
        })?;
        stack.wait("a pool of Cinder's", || {
            let pools = stack.cinder("GET", "/scheduler-stats/get_pools", &Value::Null)?;
            Ok(pools["pools"].as_array().is_some_and(|all| !all.is_empty()))
        })?;
        let seconds = begun.elapsed().as_secs();
        println!("nova's and Cinder's programs are up after {seconds} s");
        Ok(stack)
    }

    /// Asks Cinder's REST API, as an administrator.
    ///
    /// # Errors
    /// When it refuses, with what it says.
    pub fn cinder(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let answer = self.asked(method, path, body)?;
        if answer["status"].as_u64().is_some_and(|status| status < 300) {
            return Ok(answer["body"].clone());
        }
        Err(LabError::Machine(format!(
            "Cinder refuses {method} {path}: {answer}"
        )))
    }

    fn asked(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = match body {
            Value::Null => String::new(),
            other => quoted(other),
        };
        let script =
            format!("python3 {HOME}/tests/nodes/ask.py cinder {API} {method} '{path}' {body}");
        parsed(&self.cluster.node(1).run_ok_within(SLOW, &script)?)
    }

    /// Has nova's part of a node do something: a method of `Compute` in tests/nodes/compute.py of openstack.
    ///
    /// # Errors
    /// When it raises, with what it says.
    pub fn compute(&self, node: u8, request: &Value) -> Result<Value> {
        let answer = self.compute_says(node, request)?;
        match answer.get("done") {
            Some(done) => Ok(done.clone()),
            None => Err(LabError::Machine(format!(
                "nova's part of node {node} fails at {request}: {answer}; more in its {HOME}/compute/nova.log"
            ))),
        }
    }

    /// The same where it may raise: `failed` in the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn compute_says(&self, node: u8, request: &Value) -> Result<Value> {
        let script = format!(
            "python3 {HOME}/tests/nodes/ask.py compute {HOME}/compute {}",
            quoted(request)
        );
        let begun = Instant::now();
        let answer = parsed(&self.cluster.node(node).run_ok_within(SLOW, &script)?);
        let seconds = begun.elapsed().as_secs_f32();
        println!("node {node}: nova: {}: {seconds:.1} s", request["do"]);
        answer
    }

    /// A volume or a snapshot (`/volumes/ID`, `/snapshots/ID`) when nothing is under way with it.
    ///
    /// # Errors
    /// When that is not so in time.
    pub fn settled(&self, path: &str) -> Result<Value> {
        let mut found = Value::Null;
        self.wait("an end of what Cinder does", || {
            let answer = self.cinder("GET", path, &Value::Null)?;
            // The only member is the thing.
            found = answer
                .as_object()
                .and_then(|object| object.values().next())
                .cloned()
                .unwrap_or_default();
            let status = found["status"].as_str().unwrap_or_default();
            Ok(["available", "in-use"].contains(&status) || status.starts_with("error"))
        })?;
        Ok(found)
    }

    /// A volume that is to go to another pool, when that has ended: `migration_status` says how.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn migrated(&self, id: &str) -> Result<Value> {
        let mut found = Value::Null;
        self.wait("an end of a volume's migration", || {
            found = self.settled(&format!("/volumes/{id}"))?;
            let how = found["migration_status"].as_str().unwrap_or_default();
            Ok(["success", "error"].contains(&how))
        })?;
        Ok(found)
    }

    /// Makes a volume or a snapshot, whose member in what is sent is `kind` (`volume`, `snapshot`); its id.
    ///
    /// # Errors
    /// When it is not `available` at the end.
    pub fn make(&self, kind: &str, wish: &Value) -> Result<String> {
        let made = self.cinder("POST", &format!("/{kind}s"), &json!({ kind: wish }))?;
        let id = text(&made[kind]["id"]);
        let found = self.settled(&format!("/{kind}s/{id}"))?;
        if found["status"] == "available" {
            return Ok(id);
        }
        Err(self.no_end(&format!("{kind} {wish} is made"), &found))
    }

    /// Deletes one, and waits until it is gone.
    ///
    /// # Errors
    /// When it is not.
    pub fn delete(&self, kind: &str, id: &str) -> Result<()> {
        let path = format!("/{kind}s/{id}");
        self.cinder("DELETE", &path, &Value::Null)?;
        self.wait("the end of a volume", || {
            Ok(self.asked("GET", &path, &Value::Null)?["status"] == 404)
        })
    }

    /// An attachment of Cinder's for a server that is about to boot, which nova's API would ask for; its id.
    ///
    /// # Errors
    /// When Cinder refuses.
    pub fn reserve(&self, volume: &str, instance: &str) -> Result<String> {
        let wish = json!({"attachment": {"volume_uuid": volume, "instance_uuid": instance}});
        let made = self.cinder("POST", "/attachments", &wish)?;
        Ok(text(&made["attachment"]["id"]))
    }

    /// What nova calls its guest of an instance.
    pub fn guest(instance: &str) -> Guest {
        Guest::known(&format!("instance-{instance}"), instance)
    }

    fn no_end(&self, what: &str, found: &Value) -> LabError {
        let log = self
            .cluster
            .node(1)
            .run(&format!("grep ERROR {HOME}/cinder/cinder.log | tail -n 20"))
            .map_or_else(|error| error.to_string(), |said| said.stdout);
        LabError::Machine(format!("not so: {what}: {found}; Cinder said:\n{log}"))
    }

    fn wait(&self, what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !done()? {
            if begun.elapsed() > SLOW {
                return Err(self.no_end(what, &Value::Null));
            }
            // A node has one processor.
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }
}

/// Starts a program that goes on when we have gone.
fn begin(node: &Node, folder: &str, words: &str) -> Result<()> {
    let script = format!(
        "cd {HOME}
         setsid {words} > {folder}/said 2> {folder}/complained &
         echo $! > {folder}/pid"
    );
    node.run_ok(&script).map(drop)
}

fn started(node: &Node, folder: &str, test: &str) -> Result<()> {
    let script = format!(
        "cd {HOME}
         while kill -0 $(cat {folder}/pid); do
             if {test}; then exit; fi
             sleep 1
         done
         tail -n 20 {folder}/complained >&2; exit 1"
    );
    node.run_ok_within(START, &script).map(drop)
}

/// As one word of a shell.
fn quoted(value: &Value) -> String {
    format!("'{}'", value.to_string().replace('\'', r"'\''"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn parsed(said: &str) -> Result<Value> {
    serde_json::from_str(said)
        .map_err(|error| LabError::Machine(format!("an answer is no JSON ({error}): {said}")))
}
