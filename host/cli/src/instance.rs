//! Instances that somebody calls by their names.

use std::fmt;

use volward_api::Client;
use volward_api::model::InstanceId;

/// An instance as it is typed: by its UUID. A name is kept, so that whoever runs the command can say whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Instance {
    Id(InstanceId),
    Name(String),
}

impl From<&str> for Instance {
    fn from(text: &str) -> Self {
        text.parse()
            .map_or_else(|_| Self::Name(text.to_owned()), Self::Id)
    }
}

/// A name where a UUID is needed; the display says how to come by the UUID.
#[derive(Debug)]
pub(crate) struct NoUuid {
    name: String,
    /// UUIDs of instances of that name that have something attached on this node.
    known: Vec<String>,
}

impl fmt::Display for NoUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        write!(
            f,
            "{name:?} is no instance's UUID; `virsh domuuid {name}` says which one the guest has"
        )?;
        match self.known.is_empty() {
            true => Ok(()),
            false => write!(
                f,
                "; attached on this node is an instance of that name: {}",
                self.known.join(", ")
            ),
        }
    }
}

impl std::error::Error for NoUuid {}

impl Instance {
    /// Its UUID. A name is not taken for one: another guest may have had it when its volumes were attached.
    pub(crate) fn id(self, client: &Client) -> anyhow::Result<InstanceId> {
        let name = match self {
            Self::Id(id) => return Ok(id),
            Self::Name(name) => name,
        };
        // Without a daemon the sentence still says what to do.
        let attached = client.attachments(false).unwrap_or_default().into_iter();
        let of_that_name = attached.filter(|a| a.instance_name.as_deref() == Some(name.as_str()));
        let mut known: Vec<String> = of_that_name.map(|a| a.instance).collect();
        known.sort();
        known.dedup();
        Err(NoUuid { name, known }.into())
    }
}

/// The same of one that need not be given.
pub(crate) fn id_of(
    given: Option<Instance>,
    client: &Client,
) -> anyhow::Result<Option<InstanceId>> {
    given.map(|instance| instance.id(client)).transpose()
}
