//! What libvirt says, and what is to be done about it.

use volward_api::DomainEvent;

/// One call of the hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The guest's name, the domain's `<name>`.
    pub(crate) guest: String,
    /// libvirt's word for what happens: `prepare`, `start`, `release`, ...
    pub(crate) operation: String,
    /// libvirt's sub-operation: `begin`, `end` or `-`.
    pub(crate) stage: String,
}

/// What the hook does at an operation of libvirt's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: not even stdin is read.
    None,
    /// Attaches all managed disks, or the guest does not start.
    Attach,
    /// Looks whether the XML is one that could be attached.
    Check,
    /// Detaches everything the guest has.
    Detach,
    /// Tells the daemon, which looks whether what should be attached is.
    Confirm(DomainEvent),
}

impl Call {
    /// From the arguments after the program's name.
    pub(crate) fn parse(arguments: &[String]) -> Option<Self> {
        let [guest, operation, stage, ..] = arguments else {
            return None;
        };
        Some(Self {
            guest: guest.clone(),
            operation: operation.clone(),
            stage: stage.clone(),
        })
    }

    /// Operations that libvirt may invent later have no effect.
    pub(crate) fn effect(&self) -> Effect {
        match (self.operation.as_str(), self.stage.as_str()) {
            ("prepare", "begin") => Effect::Attach,
            ("migrate" | "restore", "begin") => Effect::Check,
            ("release", "end") => Effect::Detach,
            ("start", "begin") => Effect::Confirm(DomainEvent::Start),
            ("started", "begin") => Effect::Confirm(DomainEvent::Started),
            ("stopped", "end") => Effect::Confirm(DomainEvent::Stopped),
            ("reconnect", "begin") => Effect::Confirm(DomainEvent::Reconnect),
            ("attach", "begin") => Effect::Confirm(DomainEvent::Attach),
            _ => Effect::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(words: &str) -> Option<Effect> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        Call::parse(&words).map(|call| call.effect())
    }

    #[test]
    fn every_operation_of_libvirts_documentation_has_its_effect() {
        for (words, expected) in [
            ("vm prepare begin -", Effect::Attach),
            ("vm start begin -", Effect::Confirm(DomainEvent::Start)),
            ("vm started begin -", Effect::Confirm(DomainEvent::Started)),
            ("vm stopped end -", Effect::Confirm(DomainEvent::Stopped)),
            ("vm release end -", Effect::Detach),
            ("vm release end migrated", Effect::Detach),
            ("vm migrate begin -", Effect::Check),
            ("vm restore begin -", Effect::Check),
            (
                "vm reconnect begin -",
                Effect::Confirm(DomainEvent::Reconnect),
            ),
            ("vm attach begin -", Effect::Confirm(DomainEvent::Attach)),
            ("vm invented begin -", Effect::None),
            ("vm prepare end -", Effect::None),
        ] {
            assert_eq!(effect(words), Some(expected), "{words}");
        }
        assert_eq!(effect("vm prepare"), None);
    }
}
