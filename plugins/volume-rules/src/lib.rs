//! Says which operations on volumes are carried out: who may delete, what is protected, and how large a
//! tenant's volumes may be. Keys of the configuration: [`Settings`].

mod settings;

pub use settings::{Settings, Tenant};
use volward_sdk::{Denial, Disk, Lifecycle, Operate, Operation, OperationKind, Origin, Problem};

/// The policy.
pub struct VolumeRules;

impl Operate for VolumeRules {
    fn operate(operation: &Operation) -> Result<(), Denial> {
        let (settings, _) = Settings::read();
        protected(operation, &settings)?;
        deleted(operation, &settings)?;
        renamed(operation, &settings)?;
        size(operation, &settings)
    }
}

impl Lifecycle for VolumeRules {
    fn check_config() -> Vec<Problem> {
        Settings::read().1
    }
}

volward_sdk::export!(VolumeRules: operate, lifecycle);
volward_sdk::scenarios!(VolumeRules: operate, lifecycle);

/// The kind of a volume that goes to another pool, which came after the interface's words for the others.
fn is_move(operation: &Operation) -> bool {
    matches!(&*operation.kind, OperationKind::Other(word) if word == "move")
}

/// What has the tag is neither deleted, nor called otherwise, nor brought to another pool.
fn protected(operation: &Operation, settings: &Settings) -> Result<(), Denial> {
    let verb = match &*operation.kind {
        OperationKind::Delete => "deleted",
        OperationKind::Rename => "renamed",
        _ if is_move(operation) => "moved",
        _ => return Ok(()),
    };
    let (Some(tag), Some(volume)) = (&settings.protected, &*operation.volume) else {
        return Ok(());
    };
    if !volume.tags.contains(tag) {
        return Ok(());
    }
    let name = volume.full_name();
    let message = format!(
        "{name} is protected by its LV tag {tag}, so it is not {verb}: take the tag away with `lvchange --deltag {tag} {name}` first"
    );
    Err(Denial::new("protected", message))
}

fn deleted(operation: &Operation, settings: &Settings) -> Result<(), Denial> {
    if operation.kind != OperationKind::Delete || settings.may_delete(&operation.origin) {
        return Ok(());
    }
    let message = format!(
        "{} is not deleted at the request of {}: `delete-by` in the settings of the policy volume-rules lists whose are carried out ({})",
        operation.full_name(),
        caller(&operation.origin),
        settings.delete_by.join(", ")
    );
    Err(Denial::new("not-yours", message))
}

fn caller(origin: &Origin) -> &str {
    match origin {
        Origin::Libvirt => "libvirt",
        Origin::Openstack => "openstack",
        Origin::Operator => "operator",
        Origin::Other(other) => other,
    }
}

/// A name is what says whose a volume is, where no tag does: it is not given away.
fn renamed(operation: &Operation, settings: &Settings) -> Result<(), Denial> {
    if operation.kind != OperationKind::Rename && !is_move(operation) {
        return Ok(());
    }
    let (Some(volume), Some(new)) = (&*operation.volume, &*operation.new_name) else {
        return Ok(());
    };
    // A tag goes with the volume.
    if settings.named_by_tag(volume).is_some()
        || settings.named(&volume.name) == settings.named(new)
    {
        return Ok(());
    }
    let whose = |name: &str| {
        settings
            .named(name)
            .map_or("nobody's", |tenant| tenant.name.as_str())
    };
    let message = format!(
        "{} would change hands: its name is {}, and {new} {}; give it a name that begins as the old one does",
        volume.full_name(),
        whose(&volume.name),
        whose(new)
    );
    Err(Denial::new("other-tenant", message))
}

/// The lower of the general limit and the tenant's.
fn size(operation: &Operation, settings: &Settings) -> Result<(), Denial> {
    let Some(size) = *operation.new_size else {
        return Ok(());
    };
    let tenant = tenant(operation, settings);
    let general = settings.max_size.map(|most| (most, None));
    let own = tenant.map(|tenant| (tenant.max_size, Some(&tenant.name)));
    let strictest = general.into_iter().chain(own).min_by_key(|(most, _)| *most);
    match strictest {
        Some((most, whose)) if size > most => {
            let key = whose.map_or_else(|| "max-size".to_owned(), |name| format!("tenant-{name}"));
            let message = format!(
                "{size} bytes are asked for, and a volume{} has {most} at most: ask for less, or change `{key}` in the settings of the policy volume-rules",
                whose.map_or_else(String::new, |name| format!(" of tenant {name}"))
            );
            Err(Denial::new("too-large", message))
        }
        _ => Ok(()),
    }
}

/// Whose the volume is, or will be: as the caller says; else a copy is whose name it gets; where that says nothing, its
/// source's.
fn tenant<'a>(operation: &Operation, settings: &'a Settings) -> Option<&'a Tenant> {
    let hinted = settings.hinted(&operation.hints);
    if hinted.is_some() {
        return hinted;
    }
    let by_name = operation.new_name.as_ref();
    let by_name = by_name.and_then(|name| settings.named(name));
    by_name.or_else(|| {
        let volume: &Disk = operation.volume.as_ref()?;
        settings
            .named_by_tag(volume)
            .or_else(|| settings.named(&volume.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_sdk::config;

    const GIB: u64 = 1 << 30;

    fn volume(name: &str, tags: &[&str]) -> Option<Disk> {
        Some(Disk {
            pool: "vg0".into(),
            name: name.into(),
            size: (10 * GIB).into(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..Disk::default()
        })
    }

    fn ask(kind: OperationKind, volume: Option<Disk>) -> Operation {
        Operation {
            kind: kind.into(),
            pool: "vg0".into(),
            volume: volume.into(),
            ..Operation::default()
        }
    }

    fn said(operation: &Operation) -> Option<(String, String)> {
        let denial = VolumeRules::operate(operation).err()?;
        Some((denial.code, denial.message))
    }

    fn code(operation: &Operation) -> Option<String> {
        said(operation).map(|(code, _)| code)
    }

    #[test]
    fn a_protected_volume_is_neither_deleted_nor_renamed_nor_moved() {
        config::set_for_test(&[("protected", "keep")]);
        let moved = OperationKind::Other("move".to_owned());
        for kind in [OperationKind::Delete, OperationKind::Rename, moved] {
            assert_eq!(code(&ask(kind.clone(), volume("a", &[]))), None);
            let (code, message) = said(&ask(kind, volume("a", &["keep"]))).unwrap();
            assert_eq!(code, "protected");
            assert!(
                message.contains("`lvchange --deltag keep vg0/a`"),
                "{message}"
            );
        }
        let mut grown = ask(OperationKind::Extend, volume("a", &["keep"]));
        grown.new_size = Some(20 * GIB).into();
        assert_eq!(code(&grown), None);
    }

    #[test]
    fn only_those_who_are_listed_delete() {
        config::set_for_test(&[("delete-by", "operator")]);
        let mut asked = ask(OperationKind::Delete, volume("a", &[]));
        assert_eq!(code(&asked), None);
        asked.origin = Origin::Openstack.into();
        assert_eq!(
            said(&asked).unwrap(),
            (
                "not-yours".to_owned(),
                "vg0/a is not deleted at the request of openstack: `delete-by` in the settings of the policy volume-rules lists whose are carried out (operator)".to_owned()
            )
        );
        asked.kind = OperationKind::Snapshot.into();
        assert_eq!(code(&asked), None);
    }

    /// Cinder's volumes are called by their UUIDs, and are of the project that it names.
    #[test]
    fn a_tenant_is_whom_the_caller_names() {
        config::set_for_test(&[("tenant-shop", "5GiB"), ("max-size", "100GiB")]);
        let mut asked = sized(OperationKind::Create, None, Some("volume-1"), 6);
        assert_eq!(code(&asked), None);
        asked.hints = vec![("project-id".to_owned(), "shop".to_owned())].into();
        let (code, message) = said(&asked).unwrap();
        assert_eq!(code, "too-large");
        assert!(
            message.contains("of tenant shop has 5368709120"),
            "{message}"
        );
        config::set_for_test(&[("tenant-shop", "5GiB"), ("hint", "customer")]);
        assert_eq!(said(&asked), None, "another hint counts");
    }

    fn sized(kind: OperationKind, there: Option<Disk>, new: Option<&str>, gib: u64) -> Operation {
        let mut asked = ask(kind, there);
        asked.new_name = new.map(str::to_owned).into();
        asked.new_size = Some(gib * GIB).into();
        asked
    }

    #[test]
    fn the_lower_of_the_general_limit_and_the_tenants_holds() {
        config::set_for_test(&[
            ("max-size", "100GiB"),
            ("tenant-shop", "50GiB shop- web-"),
            ("tenant-db", "1TiB"),
        ]);
        use OperationKind::{Copy, Create, Extend};
        for (asked, whose) in [
            (sized(Create, None, Some("web-1"), 50), None),
            (sized(Create, None, Some("web-1"), 51), Some("tenant-shop")),
            (sized(Create, None, Some("other"), 100), None),
            (sized(Create, None, Some("other"), 101), Some("max-size")),
            (
                sized(Extend, volume("shop-1", &[]), None, 51),
                Some("tenant-shop"),
            ),
            // The tag says more than the name, and a larger limit is none beyond the general one.
            (
                sized(Extend, volume("shop-1", &["tenant=db"]), None, 100),
                None,
            ),
            (
                sized(Extend, volume("shop-1", &["tenant=db"]), None, 101),
                Some("max-size"),
            ),
            (
                sized(Extend, volume("x", &["tenant=shop"]), None, 51),
                Some("tenant-shop"),
            ),
            // A copy is limited by its own name, and where that is nobody's by its source's.
            (
                sized(Copy, volume("x", &[]), Some("shop-2"), 51),
                Some("tenant-shop"),
            ),
            (
                sized(Copy, volume("shop-1", &[]), Some("x"), 51),
                Some("tenant-shop"),
            ),
        ] {
            let found = said(&asked);
            let key = found.as_ref().map(|(code, message)| {
                assert_eq!(code, "too-large");
                message.split('`').nth(1).unwrap()
            });
            assert_eq!(key, whose, "{asked:?}");
        }
    }

    #[test]
    fn a_rename_does_not_change_hands() {
        config::set_for_test(&[("tenant-shop", "50GiB shop-"), ("tenant-db", "1TiB db-")]);
        let renamed = |from: Option<Disk>, to: &str| {
            let mut asked = ask(OperationKind::Rename, from);
            asked.new_name = Some(to.to_owned()).into();
            code(&asked)
        };
        assert_eq!(renamed(volume("shop-1", &[]), "shop-2"), None);
        for to in ["db-1", "free"] {
            let code = renamed(volume("shop-1", &[]), to);
            assert_eq!(code.as_deref(), Some("other-tenant"), "{to}");
        }
        assert_eq!(
            renamed(volume("free", &[]), "shop-1").as_deref(),
            Some("other-tenant")
        );
        // Whose it is stands in its tag.
        assert_eq!(renamed(volume("shop-1", &["tenant=shop"]), "free"), None);
    }
}
