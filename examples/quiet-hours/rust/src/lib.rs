//! Keeps the LUN quiet at certain hours: then nothing big is attached, and nothing is copied in
//! the background. `hours`, `max-size` and `except` in the configuration.

use volward_sdk::{Answer, Attach, CopyMode, Denial, Lifecycle, Problem, Request, config, log};

struct QuietHours;

struct Settings {
    /// From this hour to before that one, over midnight perhaps.
    hours: (u8, u8),
    /// Bytes.
    max_size: u64,
    /// Instances whose name begins so are left alone.
    except: Option<String>,
}

impl Attach for QuietHours {
    fn attach(request: &Request, answer: &mut Answer) -> Result<(), Denial> {
        let (settings, _) = read();
        let (from, to) = settings.hours;
        let name = &request.instance_name;
        let excepted = settings
            .except
            .is_some_and(|prefix| name.starts_with(&prefix));
        if excepted || !is_quiet(request.local_hour(), settings.hours) {
            return Ok(());
        }
        log::info("quiet hours");
        for disk in &request.disks {
            if disk.size > settings.max_size {
                let message = format!(
                    "{} has {} bytes, and from {from} to {to} o'clock nothing of more than {} is attached on node {}: start {name} later",
                    disk.full_name(),
                    disk.size,
                    settings.max_size,
                    request.node.name,
                );
                return Err(Denial::new("quiet-hours", message));
            }
            answer.copy_at_most(disk, CopyMode::WritesOnly);
        }
        Ok(())
    }
}

impl Lifecycle for QuietHours {
    fn check_config() -> Vec<Problem> {
        read().1
    }
}

volward_sdk::export!(QuietHours: attach, lifecycle);

fn is_quiet(hour: u8, (from, to): (u8, u8)) -> bool {
    if from < to {
        (from..to).contains(&hour)
    } else {
        hour >= from || hour < to
    }
}

fn hours(text: &str) -> Option<(u8, u8)> {
    let (from, to) = text.split_once('-')?;
    let hour = |text: &str| text.parse().ok().filter(|hour: &u8| *hour < 24);
    Some((hour(from)?, hour(to)?))
}

fn read() -> (Settings, Vec<Problem>) {
    let mut config = config::Reader::new(&["hours", "max-size", "except"]);
    let expected = "hours of the day such as \"22-6\"";
    let settings = Settings {
        hours: config.parsed("hours", expected, hours).unwrap_or((0, 0)),
        max_size: config.size("max-size").unwrap_or(0),
        except: config::get("except"),
    };
    for key in ["hours", "max-size"] {
        if config::get(key).is_none() {
            config.problem(key, "is missing");
        }
    }
    (settings, config.problems())
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_sdk::scenario::Hooks;

    /// The same for all four languages; `cargo xtask test languages` asks the others.
    #[test]
    fn scenarios() {
        let hooks = Hooks::default()
            .attach::<QuietHours>()
            .lifecycle::<QuietHours>();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
        let ran = hooks.run("quiet-hours", folder.as_ref());
        assert!(ran.as_ref().is_ok_and(|ran| *ran > 0), "{ran:?}");
    }

    #[test]
    fn what_is_wrong_with_the_configuration_is_named() {
        config::set_for_test(&[("hours", "22-24"), ("maxsize", "1")]);
        let keys: Vec<_> = read().1.into_iter().map(|p| p.key).collect();
        assert_eq!(keys, ["maxsize", "hours", "max-size"]);
    }
}
