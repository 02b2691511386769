//! Proposes local copies: for volumes of a certain size, while the local pool has room for them,
//! at certain hours of the day. [`Settings`] lists the keys of its configuration.

mod settings;

pub use settings::{Hours, Settings};
use volward_sdk::{
    Access, Answer, Attach, CopyFate, CopyPlan, Denial, Disk, Home, Lifecycle, Problem, Request,
    Sharing,
};

/// The policy.
pub struct HydrateLocal;

impl Attach for HydrateLocal {
    fn attach(request: &Request, answer: &mut Answer) -> Result<(), Denial> {
        let (settings, _) = Settings::read();
        let mut room = room(request, &settings);
        for disk in &request.disks {
            match why_not(request, disk, &settings, room) {
                Some(reason) => answer.note(disk.full_name(), format!("no copy: {reason}")),
                None => {
                    // All disks of the request draw on the same space.
                    room -= *disk.size;
                    answer.copy(disk, plan(&settings));
                }
            }
        }
        Ok(())
    }
}

impl Lifecycle for HydrateLocal {
    fn check_config() -> Vec<Problem> {
        Settings::read().1
    }
}

volward_sdk::export!(HydrateLocal: attach, lifecycle);
volward_sdk::scenarios!(HydrateLocal: attach, lifecycle);

/// What copies may still take of the local pool.
fn room(request: &Request, settings: &Settings) -> u64 {
    request.node.local.map_or(0, |local| {
        local
            .free
            .saturating_sub(local.promised)
            .saturating_sub(settings.reserve)
    })
}

/// Why a disk gets no copy; `None` if it gets one.
fn why_not(request: &Request, disk: &Disk, settings: &Settings, room: u64) -> Option<String> {
    let reason = if request.node.local.is_none() {
        "this node has no local pool".to_owned()
    } else if disk.asked_sharing == Sharing::Shared || disk.asked_access == Access::ReadOnly {
        "only what is exclusive and read-write is copied".to_owned()
    } else if disk.home != Home::Pool {
        "its data is not in the pool alone".to_owned()
    } else if disk.size < settings.min_size {
        format!("it is smaller than {} bytes", settings.min_size)
    } else if disk.size > settings.max_size {
        format!("it is bigger than {} bytes", settings.max_size)
    } else if !settings.hours.contain(request.local_hour()) {
        format!("not at {} o'clock", request.local_hour())
    } else if disk.size > room {
        format!("its {} bytes do not fit into {room}", disk.size)
    } else {
        return None;
    };
    Some(reason)
}

fn plan(settings: &Settings) -> CopyPlan {
    CopyPlan {
        mode: settings.mode,
        in_flight_bytes: settings.in_flight,
        batch_bytes: settings.batch,
        fate: CopyFate::WriteBack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_sdk::{CopyMode, Narrowing, Node, Space, config};

    const GIB: u64 = 1 << 30;

    fn disk(id: &str, gib: u64) -> Disk {
        Disk {
            id: id.into(),
            pool: "vg0".into(),
            name: id.into(),
            size: (gib * GIB).into(),
            ..Disk::default()
        }
    }

    /// A request on a node with 100 GiB free, 30 of them promised.
    fn request(disks: Vec<Disk>) -> Request {
        let local = Some(Space {
            total: 200 * GIB,
            free: 100 * GIB,
            promised: 30 * GIB,
        });
        Request {
            disks: disks.into(),
            node: Node {
                local: local.into(),
                ..Node::default()
            }
            .into(),
            ..Request::default()
        }
    }

    /// The ids of the disks that get a copy, and the reasons why others do not.
    fn ask(request: &Request) -> (Vec<String>, Vec<String>) {
        let mut answer = Answer::default();
        HydrateLocal::attach(request, &mut answer).unwrap();
        let (mut copies, mut reasons) = (Vec::new(), Vec::new());
        for said in answer.narrowings() {
            match said {
                Narrowing::Copy(id, _) => copies.push(id.to_string()),
                Narrowing::Note(_, reason) => reasons.push(reason.clone()),
                other => panic!("it narrowed: {other:?}"),
            }
        }
        (copies, reasons)
    }

    #[test]
    fn all_disks_of_a_request_draw_on_the_same_space() {
        config::set_for_test(&[("reserve", "10GiB")]);
        // 100 - 30 promised - 10 kept = 60.
        let (copies, reasons) = ask(&request(vec![disk("a", 40), disk("b", 30), disk("c", 20)]));
        assert_eq!(copies, ["a", "c"]);
        assert_eq!(
            reasons,
            [format!(
                "no copy: its {} bytes do not fit into {}",
                30 * GIB,
                20 * GIB
            )]
        );
    }

    #[test]
    fn only_an_exclusive_writer_from_the_pool_gets_a_copy() {
        for other in [
            Disk {
                asked_sharing: Sharing::Shared.into(),
                ..disk("a", 1)
            },
            Disk {
                asked_access: Access::ReadOnly.into(),
                ..disk("a", 1)
            },
            Disk {
                home: Home::Split("n1".into()).into(),
                ..disk("a", 1)
            },
        ] {
            assert!(ask(&request(vec![other])).0.is_empty());
        }
        assert_eq!(ask(&request(vec![disk("a", 1)])).0, ["a"]);
        let nowhere = Request {
            node: Node::default().into(),
            ..request(vec![disk("a", 0)])
        };
        assert_eq!(ask(&nowhere).1, ["no copy: this node has no local pool"]);
    }

    #[test]
    fn size_and_hours_are_the_configurations() {
        config::set_for_test(&[("min-size", "2GiB"), ("max-size", "4GiB"), ("hours", "1-5")]);
        let mut request = request(vec![disk("s", 1), disk("m", 3), disk("l", 5)]);
        request.now_ms = (3 * 3_600_000).into();
        assert_eq!(ask(&request).0, ["m"]);
        request.utc_offset_minutes = 120.into();
        assert!(ask(&request).0.is_empty());
    }

    #[test]
    fn the_plan_is_the_configurations() {
        config::set_for_test(&[("mode", "before-start"), ("in-flight", "16MiB")]);
        let mut answer = Answer::default();
        HydrateLocal::attach(&request(vec![disk("a", 1)]), &mut answer).unwrap();
        let plan = CopyPlan {
            mode: CopyMode::BeforeStart,
            in_flight_bytes: Some(16 << 20),
            batch_bytes: None,
            fate: CopyFate::WriteBack,
        };
        assert_eq!(answer.narrowings(), [Narrowing::Copy("a".into(), plan)]);
    }
}
