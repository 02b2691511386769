//! From what is there to what is to be there. Pure: texts in, texts out.

use serde::Serialize;

use crate::look::Seen;
use crate::paths;
use crate::text::{
    NotUnderstood, lvm_setting, quoted, setting, unquoted, with_lvm_setting, with_setting,
};
use crate::wanted::{Contradiction, Decided, Wanted, decide, not_understood};

mod next;
mod order;

/// A file that is to say something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// From the root folder.
    pub path: String,
    /// What for, in a few words.
    pub why: String,
    /// What it says now; `None`: it is not there.
    pub before: Option<String>,
    /// What it is to say.
    pub after: String,
}

impl Change {
    /// What becomes of which line, as `diff -u` shows it.
    #[must_use]
    pub fn diff(&self) -> String {
        let before = self.before.as_deref().unwrap_or_default();
        let path = format!("/{}", self.path);
        let from = if self.before.is_some() {
            path.as_str()
        } else {
            "/dev/null"
        };
        let diff = similar::TextDiff::from_lines(before, self.after.as_str());
        diff.unified_diff().header(from, &path).to_string()
    }
}

/// All that is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Files to write, in this order.
    pub changes: Vec<Change>,
    /// Whether the policies folder is to be made.
    pub policies: bool,
    /// What is as it should be, by whoever it was set.
    pub kept: Vec<String>,
    /// What this cannot do, each a sentence with what to do instead.
    pub cannot: Vec<String>,
    /// Commands for afterwards, in their order; words in brackets say when.
    pub next: Vec<String>,
}

impl Plan {
    /// Nothing is to be written.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.changes.is_empty() && !self.policies
    }
}

/// What there is to do on a node like this.
///
/// # Errors
/// When two settings cannot both be meant, when one is missing, or a file is not understood. Nothing is to be
/// changed then.
pub fn plan(wanted: &Wanted, seen: &Seen) -> Result<Plan, Contradiction> {
    let decided = decide(wanted, seen)?;
    let mut draft = Draft {
        seen,
        plan: Plan::default(),
    };
    draft.sanlock(&decided)?;
    draft.watchdog(wanted);
    draft.lvm(&decided)?;
    draft.lvmlockd();
    draft.order();
    draft.clone_module(&decided);
    draft.volward(&decided)?;
    draft.volume_list(&decided)?;
    draft.next(&decided);
    Ok(draft.plan)
}

/// What volwardd needs of a lvmlockd that was restarted.
const DROPIN: &str = "\
# Written by `volward setup`: a lvmlockd that was restarted takes its leases back.
[Service]
ExecStart=
ExecStart=/sbin/lvmlockd --foreground --adopt 1
";

struct Draft<'a> {
    seen: &'a Seen,
    plan: Plan,
}

impl Draft<'_> {
    /// Adds the change, or says that what is there is right already.
    fn set(&mut self, path: &str, why: &str, after: String) {
        let before = self.seen.text(path).map(str::to_owned);
        if before.as_ref() == Some(&after) {
            self.plan.kept.push(format!("/{path}: {why}"));
            return;
        }
        self.plan.changes.push(Change {
            path: path.to_owned(),
            why: why.to_owned(),
            before,
            after,
        });
    }

    fn sanlock(&mut self, decided: &Decided) -> Result<(), Contradiction> {
        let mut text = self
            .seen
            .text(paths::SANLOCK)
            .unwrap_or_default()
            .to_owned();
        for (key, value) in [
            ("our_host_name", decided.name.as_str()),
            ("use_watchdog", "1"),
        ] {
            if setting(&text, key) != Some(value) {
                text = with_setting(&text, key, &format!("{key} = {value}"));
            }
        }
        let why = format!(
            "sanlock knows this node as {}, and uses the watchdog",
            decided.name
        );
        self.set(paths::SANLOCK, &why, text);
        // Debian starts sanlock with `-w 0`, whatever sanlock.conf says.
        let path = paths::SANLOCK_DEFAULTS;
        let Some(text) = self.seen.text(path) else {
            return Ok(());
        };
        let value = setting(text, "sanlock_opts").unwrap_or_default();
        let value = unquoted(value).map_err(|inside| not_understood(path, inside))?;
        let words = without_no_watchdog(&value);
        let after = match words == value {
            true => text.to_owned(),
            false => with_setting(
                text,
                "sanlock_opts",
                &format!("sanlock_opts={}", quoted(&words)),
            ),
        };
        self.set(
            path,
            "sanlock is not started with -w 0, which is without a watchdog",
            after,
        );
        Ok(())
    }

    fn watchdog(&mut self, wanted: &Wanted) {
        let path = paths::WDMD_DEFAULTS;
        if let Some(text) = self.seen.text(path) {
            let on = setting(text, "enabled").and_then(|value| unquoted(value).ok());
            // It is for machines without systemd: with 1, the script that wdmd.service has run first ends with
            // a fault, and the service does not start (sanlock 3.8.5).
            let after = match on.as_deref() {
                Some("1") => with_setting(text, "enabled", "enabled=0"),
                _ => text.to_owned(),
            };
            self.set(
                path,
                "wdmd, which feeds the watchdog, is started by systemd: enabled=1 would keep it from that",
                after,
            );
        }
        let loads = |line: &str| match &wanted.watchdog {
            Some(module) => line == module,
            None => line.ends_with("dog") || line.ends_with("wdt"),
        };
        let lists = self.seen.below(paths::MODULES);
        let listed = lists.filter(|(path, _)| *path != paths::WATCHDOG_MODULE);
        let mut loaded = listed.filter(|(_, text)| text.lines().any(|line| loads(line.trim())));
        if let Some((path, _)) = loaded.next() {
            self.plan
                .kept
                .push(format!("/{path}: a watchdog is loaded at boot"));
            return;
        }
        if wanted.watchdog.is_none() && self.seen.hardware_watchdog {
            self.plan
                .kept
                .push("the machine has a watchdog, whose driver is loaded".to_owned());
            return;
        }
        let there = self.seen.text(paths::WATCHDOG_MODULE);
        if let (None, Some(text)) = (&wanted.watchdog, there) {
            let text = text.to_owned();
            self.set(paths::WATCHDOG_MODULE, "a watchdog is loaded at boot", text);
            return;
        }
        let module = wanted.watchdog.as_deref().unwrap_or("softdog");
        let why = format!("the watchdog {module} is loaded at boot");
        let text = format!("# Written by `volward setup`: sanlock's watchdog.\n{module}\n");
        self.set(paths::WATCHDOG_MODULE, &why, text);
    }

    /// In lvmlocal.conf, which counts before lvm.conf. A setting that lvm.conf has already stays there.
    fn lvm(&mut self, decided: &Decided) -> Result<(), Contradiction> {
        let path = paths::LVM_LOCAL;
        let before = self.seen.text(path).unwrap_or_default();
        let mut text = before.to_owned();
        let host_id = decided.host_id.to_string();
        for (section, key, value) in [
            ("global", "use_lvmlockd", "1"),
            ("local", "host_id", &host_id),
        ] {
            let failed = |path: &str| {
                let path = path.to_owned();
                move |inside: NotUnderstood| not_understood(&path, inside)
            };
            let own = lvm_setting(&text, section, key).map_err(failed(path))?;
            let main = self.seen.text(paths::LVM).unwrap_or_default();
            let main = lvm_setting(main, section, key).map_err(failed(paths::LVM))?;
            if own.or(main) != Some(value) {
                text = with_lvm_setting(&text, section, key, value).map_err(failed(path))?;
            }
        }
        let why = format!("LVM uses lvmlockd, and this node's host-id is {host_id}");
        if self.seen.text(path).is_none() && text.is_empty() {
            self.plan.kept.push(format!("/{}: {why}", paths::LVM));
            return Ok(());
        }
        self.set(path, &why, text);
        Ok(())
    }

    fn lvmlockd(&mut self) {
        const WHY: &str = "a lvmlockd that was restarted takes its leases back";
        let mut others = self.seen.below(paths::LVMLOCKD_DROPINS);
        let starts =
            |(_, text): &(&str, &str)| text.lines().any(|line| line.starts_with("ExecStart=/"));
        let other =
            others.find(|(path, text)| *path != paths::LVMLOCKD_DROPIN && starts(&(*path, text)));
        match other {
            None => self.set(paths::LVMLOCKD_DROPIN, WHY, DROPIN.to_owned()),
            Some((path, text)) if adopts(text) => {
                self.plan.kept.push(format!("/{path}: {WHY}"));
            }
            Some((path, _)) => self.plan.cannot.push(format!(
                "/{path} starts lvmlockd in its own way and without --adopt 1, so its death would leave orphaned \
                 leases: add that there"
            )),
        }
    }

    fn clone_module(&mut self, decided: &Decided) {
        if !decided.pools.iter().any(|pool| pool.local) {
            return;
        }
        let path = paths::CLONE_MODULE;
        if !self.seen.dm_clone {
            self.plan.cannot.push(
                "this kernel has no dm-clone, so no local copies are made; everything else works without it"
                    .to_owned(),
            );
            return;
        }
        let text = match self.seen.text(path) {
            Some(text) if text.lines().any(|line| line.trim() == "dm-clone") => text.to_owned(),
            there => there.unwrap_or_default().to_owned() + "dm-clone\n",
        };
        self.set(
            path,
            "dm-clone, which makes local copies, is loaded at boot",
            text,
        );
    }

    fn volward(&mut self, decided: &Decided) -> Result<(), Contradiction> {
        let failed = |inside| not_understood(paths::VOLWARD, inside);
        let mut configuration = decided.configuration.clone();
        if configuration.name().is_none() {
            configuration = configuration.with_name(&decided.name).map_err(failed)?;
        }
        for pool in &decided.new_pools {
            configuration = configuration.with_pool(pool).map_err(failed)?;
        }
        let pools: Vec<&str> = decided
            .pools
            .iter()
            .map(|pool| pool.name.as_str())
            .collect();
        let why = match pools.is_empty() {
            true => "Volward knows this node's name".to_owned(),
            false => format!(
                "Volward knows this node's name and its pools {}",
                pools.join(", ")
            ),
        };
        self.set(paths::VOLWARD, &why, configuration.text().to_owned());
        self.plan.policies = !self.seen.policies;
        if !decided.pools.iter().any(|pool| !pool.local) {
            self.plan.cannot.push(
                "no shared pool is named, so nothing can be attached: say --pool VG with the volume group on the LUN"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// What it names an operator has thought about, so it is not changed here.
    fn volume_list(&mut self, decided: &Decided) -> Result<(), Contradiction> {
        for path in [paths::LVM_LOCAL, paths::LVM] {
            let text = self.seen.text(path).unwrap_or_default();
            let list = lvm_setting(text, "activation", "volume_list");
            let Some(list) = list.map_err(|inside| not_understood(path, inside))? else {
                continue;
            };
            for pool in &decided.pools {
                if !list.contains(&format!("\"{}", pool.name)) {
                    self.plan.cannot.push(format!(
                        "volume_list in /{path} does not name {0}, so its volumes are not activated: add \"{0}\" there",
                        pool.name
                    ));
                }
            }
            break;
        }
        Ok(())
    }
}

/// The words without `-w 0`, which is for sanlock without a watchdog.
fn without_no_watchdog(value: &str) -> String {
    let mut words: Vec<&str> = value.split_whitespace().collect();
    if let Some(at) = words.windows(2).position(|two| two == ["-w", "0"]) {
        words.drain(at..at + 2);
    } else {
        words.retain(|word| *word != "-w0");
        if words.len() == value.split_whitespace().count() {
            return value.to_owned();
        }
    }
    words.join(" ")
}

fn adopts(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| line.starts_with("ExecStart=/"));
    let last = lines.next_back().unwrap_or_default();
    let words: Vec<&str> = last.split_whitespace().collect();
    words.contains(&"--adopt=1")
        || words
            .windows(2)
            .any(|two| matches!(two, ["--adopt" | "-A", "1"]))
}

#[cfg(test)]
mod tests;
