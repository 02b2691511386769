//! Lists of Cinder's and nova's, as their client or their API prints them in JSON. Read by the names of
//! their members, so that either will do, in any order, several in one file.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde_json::Value;

/// What the lists say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lists {
    /// By Cinder's id.
    pub(crate) volumes: BTreeMap<String, CinderVolume>,
    /// By the server's id, its status in nova's words; none where no list of servers was given.
    pub(crate) servers: BTreeMap<String, String>,
}

/// A volume, as far as Cinder's lists tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CinderVolume {
    /// Cinder's word; empty where only an attachment names the volume.
    pub(crate) status: String,
    /// `VG UUID:LV UUID`, which only an administrator is told by Cinder's API.
    pub(crate) provider_id: Option<String>,
    /// The pool in Cinder's `HOST@BACKEND#POOL`, where the list has that.
    pub(crate) pool: Option<String>,
    pub(crate) attachments: Vec<CinderAttachment>,
}

/// An attachment, as Cinder has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CinderAttachment {
    /// The server; `None`: a service's own.
    pub(crate) server: Option<String>,
    /// Cinder's word; a volume's list has those only that are `attached`.
    pub(crate) status: String,
}

impl CinderAttachment {
    pub(crate) fn is_attached(&self) -> bool {
        self.status == "attached"
    }
}

impl Lists {
    /// Adds what a text says; `of`: where it is from, for errors.
    ///
    /// # Errors
    /// If it is no JSON, or has something in it that is in none of those lists.
    pub(crate) fn add(&mut self, of: &str, text: &str) -> anyhow::Result<()> {
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let mut count = 0;
        for value in values {
            let value = value.with_context(|| format!("{of} is no JSON"))?;
            for (index, entry) in entries(value).into_iter().enumerate() {
                let read = self.entry(&entry);
                read.with_context(|| format!("{of}, entry {}", index + 1))?;
            }
            count += 1;
        }
        if count == 0 {
            bail!("{of} is empty");
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Value) -> anyhow::Result<()> {
        let Some(id) = text(entry, &["ID", "id"]) else {
            bail!("it has no id; give a list of volumes, attachments or servers as JSON");
        };
        let status = text(entry, &["Status", "status"]).unwrap_or_default();
        if let Some(volume) = text(entry, &["Volume ID", "volume_id"]) {
            let server = text(entry, &["Server ID", "instance", "server_id"]);
            self.attach(&volume, server, status);
        } else if has(entry, &["Attached to", "attachments"]) {
            self.volume(&id, status, entry)?;
        } else if has(
            entry,
            &["Networks", "addresses", "Flavor", "flavor", "Image"],
        ) {
            self.servers.insert(id, status.to_uppercase());
        } else {
            bail!(
                "{id} is no volume with its attachments, no attachment and no server: `openstack volume list \
                 --long -f json` has the volumes"
            );
        }
        Ok(())
    }

    fn volume(&mut self, id: &str, status: String, entry: &Value) -> anyhow::Result<()> {
        let listed = member(entry, &["Attached to", "attachments"]);
        let Some(attachments) = listed.and_then(Value::as_array) else {
            bail!(
                "what volume {id} is attached to is no list; this client prints it for people only"
            );
        };
        let volume = self.volumes.entry(id.to_owned()).or_default();
        volume.status = status;
        volume.provider_id = text(entry, &["provider_id"]);
        let host = text(entry, &["os-vol-host-attr:host", "Host", "host"]);
        volume.pool = host.and_then(|host| Some(host.split_once('#')?.1.to_owned()));
        for attachment in attachments {
            let server = text(attachment, &["server_id"]);
            self.attach(id, server, "attached".to_owned());
        }
        Ok(())
    }

    /// Once, though the volume's list and that of attachments both have it.
    fn attach(&mut self, volume: &str, server: Option<String>, status: String) {
        if status == "deleted" || status == "detached" {
            return;
        }
        let volume = self.volumes.entry(volume.to_owned()).or_default();
        let found = CinderAttachment { server, status };
        if !volume.attachments.contains(&found) {
            volume.attachments.push(found);
        }
    }
}

/// The API wraps its lists in an object; a volume has attachments too, and an id.
fn entries(value: Value) -> Vec<Value> {
    match value {
        Value::Array(entries) => entries,
        Value::Object(mut object) if !object.contains_key("id") && !object.contains_key("ID") => {
            let lists = ["volumes", "attachments", "servers"];
            let found: Vec<Value> = lists
                .iter()
                .filter_map(|name| object.remove(*name))
                .collect();
            let all: Option<Vec<&Vec<Value>>> = found.iter().map(Value::as_array).collect();
            match all {
                Some(all) if !all.is_empty() => all.into_iter().flatten().cloned().collect(),
                _ => vec![Value::Null],
            }
        }
        other => vec![other],
    }
}

fn member<'a>(entry: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| entry.get(*name))
}

fn has(entry: &Value, names: &[&str]) -> bool {
    member(entry, names).is_some()
}

/// The first of those members that is text; an empty one is none. What is read is printed: ids and words are
/// of ASCII, and nothing else acts on a terminal.
fn text(entry: &Value, names: &[&str]) -> Option<String> {
    let found = names.iter().filter_map(|name| entry.get(*name)?.as_str());
    let mut found = found.filter(|text| !text.is_empty());
    let shown = |c: char| match c.is_ascii_graphic() || c == ' ' {
        true => c.to_string(),
        false => c.escape_unicode().to_string(),
    };
    found.next().map(|text| text.chars().map(shown).collect())
}
