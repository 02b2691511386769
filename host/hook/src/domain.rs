//! The domain XML, read once from beginning to end: who the guest is, which paths it names, and
//! what its metadata asks for.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use crate::metadata::{Metadata, NAMESPACE};

/// What the XML says, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Domain {
    /// The text of `<uuid>`, as written; empty where there is none.
    pub(crate) uuid: String,
    /// Every absolute path outside of metadata and prose, in document order.
    pub(crate) paths: Vec<PathUse>,
    /// The targets of its disks.
    pub(crate) targets: Vec<String>,
    /// What the guest's `volward:instance` element in its `<metadata>` says.
    pub(crate) metadata: Metadata,
}

/// One path and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathUse {
    pub(crate) path: String,
    pub(crate) by: User,
}

/// The element that names a path, and so opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum User {
    /// A `<disk>`, whose volume can be attached.
    Disk(Disk),
    /// An element that Volward cannot attach for.
    Other(String),
}

/// What a `<disk>` element says of itself, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Disk {
    /// `vda`; empty if the XML does not say.
    pub(crate) target: String,
    pub(crate) read_only: bool,
    pub(crate) shareable: bool,
    /// The guest's SCSI commands go to the device itself: `device='lun'`.
    pub(crate) passes_scsi: bool,
    /// Its `<source>` has `<reservations>`.
    pub(crate) reserves: bool,
    /// What the driver takes the content for: `raw`, `qcow2`; empty if the XML does not say.
    pub(crate) format: String,
    /// The XML says what is behind it, were it that nothing is.
    pub(crate) chain_known: bool,
    /// The path is what the guest has, not what is behind it, or a copy of it.
    pub(crate) is_own_source: bool,
}

/// Why XML cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DomainError {
    #[error("it is not UTF-8 (byte {0})")]
    NotUtf8(usize),
    #[error("{0}")]
    Xml(String),
    #[error("it ends in the middle")]
    Ends,
    #[error("it is no <domain>")]
    NotADomain,
}

/// What an open element is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Domain,
    Uuid,
    Metadata,
    Instance,
    /// Everything within is somebody else's: foreign metadata, prose.
    Foreign,
    Devices,
    Disk,
    /// The disk's own `<source>`, or that of a running copy job, which writes.
    Source,
    /// A backing file's `<source>`: only read.
    BackingSource,
    Mirror,
    Backing,
    Other,
}

/// Which of a disk's paths one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// What the guest has.
    Own,
    /// Written besides: a copy job's destination, external data.
    Written,
    /// A backing file, only read.
    Backing,
}

/// Reads the XML.
///
/// # Errors
/// If it is no well-formed domain XML. Entities of a DTD count as such: libvirt writes none.
pub(crate) fn parse(xml: &[u8]) -> Result<Domain, DomainError> {
    let text = std::str::from_utf8(xml).map_err(|e| DomainError::NotUtf8(e.valid_up_to()))?;
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut walk = Walk::default();
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(xml_error)?;
        match event {
            Event::Start(element) => {
                let ours = matches!(namespace, ResolveResult::Bound(ns) if ns.0 == NAMESPACE);
                walk.open(ours, &element)?;
            }
            Event::Text(text) => walk.text(&text.xml10_content()),
            Event::CData(text) => walk.text(&text.xml10_content()),
            Event::End(_) => walk.close(),
            Event::Eof => return walk.finish(),
            _ => {}
        }
    }
}

fn xml_error(error: impl std::fmt::Display) -> DomainError {
    DomainError::Xml(error.to_string())
}

#[derive(Default)]
struct Walk {
    open: Vec<Tag>,
    began: bool,
    domain: Domain,
    /// The disk that is open, and its paths: what it is like is known at its end.
    disk: Disk,
    disk_paths: Vec<(String, Role)>,
}

impl Walk {
    fn open(&mut self, ours: bool, element: &BytesStart<'_>) -> Result<(), DomainError> {
        let name = element.local_name();
        let name = name.as_ref();
        let parent = self.open.last().copied();
        if parent.is_none() && (self.began || name != "domain") {
            return Err(DomainError::NotADomain);
        }
        self.began = true;
        let tag = tag(parent, ours, name);
        self.open.push(tag);
        if tag == Tag::Foreign && parent != Some(Tag::Instance) {
            return Ok(());
        }
        let mut attributes = Vec::new();
        for attribute in element.attributes() {
            let attribute = attribute.map_err(xml_error)?;
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(xml_error)?;
            let key = attribute.key.0.to_owned();
            if !key.starts_with("xmlns") {
                attributes.push((key, value.into_owned()));
            }
        }
        match (parent, name) {
            (Some(Tag::Instance), _) if ours => self.domain.metadata.add(name, &attributes),
            (Some(Tag::Devices), "disk") => {
                let device = attribute_of(&attributes, "device");
                self.disk.read_only = device == "cdrom";
                self.disk.passes_scsi = device == "lun";
            }
            (Some(Tag::Disk), "driver") => {
                self.disk.format = attribute_of(&attributes, "type").to_owned();
            }
            (Some(Tag::Disk), "backingStore") => self.disk.chain_known = true,
            (Some(Tag::Source | Tag::BackingSource), "reservations") => self.disk.reserves = true,
            (Some(Tag::Disk), "readonly") => self.disk.read_only = true,
            (Some(Tag::Disk), "shareable") => self.disk.shareable = true,
            (Some(Tag::Disk), "target") => {
                self.disk.target = attribute_of(&attributes, "dev").to_owned();
            }
            _ => self.note_paths(tag, name, attributes),
        }
        Ok(())
    }

    fn note_paths(&mut self, tag: Tag, name: &str, attributes: Vec<(String, String)>) {
        for (key, value) in attributes {
            if !value.starts_with('/') {
                continue;
            }
            let copies = self.open.contains(&Tag::Mirror);
            match (tag, key.as_str()) {
                // libvirt before 1.2.6 wrote the copy job's file on <mirror> itself, and later
                // ones repeat it there.
                (Tag::Source, "dev" | "file") if !copies => {
                    self.disk_paths.push((value, Role::Own));
                }
                (Tag::Source | Tag::Mirror, "dev" | "file") => {
                    self.disk_paths.push((value, Role::Written));
                }
                (Tag::BackingSource, "dev" | "file") => {
                    self.disk_paths.push((value, Role::Backing));
                }
                // A path on a server.
                (Tag::Source | Tag::BackingSource, "name") => {}
                _ => self.note_other(name, value),
            }
        }
    }

    fn note_other(&mut self, element: &str, path: String) {
        self.domain.paths.push(PathUse {
            path,
            by: User::Other(element.to_owned()),
        });
    }

    fn text(&mut self, text: &str) {
        match self.open.last() {
            Some(Tag::Uuid) => self.domain.uuid.push_str(text.trim()),
            // <nvram>/dev/...</nvram>
            Some(Tag::Other) if text.trim_start().starts_with('/') => {
                self.note_other("text of an element", text.trim().to_owned());
            }
            _ => {}
        }
    }

    fn close(&mut self) {
        if self.open.pop() != Some(Tag::Disk) {
            return;
        }
        let disk = std::mem::take(&mut self.disk);
        self.domain.targets.push(disk.target.clone());
        for (path, role) in self.disk_paths.drain(..) {
            let disk = Disk {
                read_only: disk.read_only || role == Role::Backing,
                is_own_source: role == Role::Own,
                ..disk.clone()
            };
            self.domain.paths.push(PathUse {
                path,
                by: User::Disk(disk),
            });
        }
    }

    fn finish(self) -> Result<Domain, DomainError> {
        match (self.began, self.open.is_empty()) {
            (false, _) => Err(DomainError::NotADomain),
            (true, false) => Err(DomainError::Ends),
            (true, true) => Ok(self.domain),
        }
    }
}

/// An attribute's value; empty where it is not given.
fn attribute_of<'a>(attributes: &'a [(String, String)], wanted: &str) -> &'a str {
    let found = attributes.iter().find(|(key, _)| key == wanted);
    found.map_or("", |(_, value)| value)
}

fn tag(parent: Option<Tag>, ours: bool, name: &str) -> Tag {
    let Some(parent) = parent else {
        return Tag::Domain;
    };
    match (parent, name) {
        (Tag::Metadata, "instance") if ours => Tag::Instance,
        (Tag::Foreign | Tag::Metadata | Tag::Instance, _) => Tag::Foreign,
        (Tag::Domain, "uuid") => Tag::Uuid,
        (Tag::Domain, "metadata") => Tag::Metadata,
        (Tag::Domain, "name" | "title" | "description") => Tag::Foreign,
        // Passed to qemu as they are, and weights of devices that others open: docs/libvirt.md lists
        // what is not looked at.
        (Tag::Domain, "commandline" | "override" | "blkiotune") => Tag::Foreign,
        // A secret's usage is a name, also where it looks like a path.
        (_, "secret") => Tag::Foreign,
        (Tag::Domain, "devices") => Tag::Devices,
        (Tag::Devices, "disk") => Tag::Disk,
        (Tag::Disk | Tag::Mirror, "source") => Tag::Source,
        (Tag::Backing, "source") => Tag::BackingSource,
        (Tag::Disk, "mirror") => Tag::Mirror,
        (Tag::Disk | Tag::Mirror | Tag::Backing, "backingStore") => Tag::Backing,
        // A qcow2 file's external data; written like its disk, and nested in its <source>.
        (Tag::Source, "dataStore") => Tag::Mirror,
        _ => Tag::Other,
    }
}

#[cfg(test)]
#[path = "domain_tests.rs"]
mod tests;
