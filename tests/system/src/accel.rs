//! KVM where it works, emulation elsewhere.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cache::{Cache, Recipe};
use crate::command::run;
use crate::error::IoContext;
use crate::launch::QEMU;
use crate::{Image, LabError, Progress, Result};

/// A stock kernel prints its first words under working KVM within a second.
const TRIAL: Duration = Duration::from_secs(12);

/// How nodes are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Accel {
    Kvm,
    Emulation,
}

impl Accel {
    /// KVM if the very kernel nodes boot came up under it. `/dev/kvm` alone proves nothing: in
    /// some virtual machines it is there, and a stock kernel hangs before its first line.
    pub(crate) fn choose(image: &Image, cache: &Cache, progress: Progress) -> Result<Self> {
        if !Path::new("/dev/kvm").exists() {
            return Ok(Self::Emulation);
        }
        let key = Recipe::new("accel", 1)
            .with(&qemu_version()?)
            .with(&run(Command::new("uname").arg("-r"))?)
            .with(&image.key)
            .key();
        let folder = cache.entry("accel", &key, |folder| {
            progress.during(
                "trial boot under KVM (without it nodes are emulated)",
                || {
                    let verdict = if boots_under_kvm(image, folder)? {
                        "kvm"
                    } else {
                        "tcg"
                    };
                    fs::write(folder.join("verdict"), verdict).at("write", folder)
                },
            )
        })?;
        let verdict = folder.join("verdict");
        Ok(
            match fs::read_to_string(&verdict).at("read", &verdict)?.as_str() {
                "kvm" => Self::Kvm,
                _ => Self::Emulation,
            },
        )
    }

    /// QEMU's `-accel` and `-cpu`.
    pub(crate) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Emulation => ["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }
}

/// What QEMU calls itself: saved nodes and trial boots hold for one version.
pub(crate) fn qemu_version() -> Result<String> {
    run(Command::new(QEMU).arg("--version"))
}

fn boots_under_kvm(image: &Image, folder: &Path) -> Result<bool> {
    let console = folder.join("console");
    let mut child = Command::new(QEMU)
        .args(Accel::Kvm.arguments())
        .args(["-m", "256", "-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-append", "console=ttyS0 lab.trial"])
        .arg("-kernel")
        .arg(&image.kernel)
        .arg("-initrd")
        .arg(&image.initrd)
        .args(["-serial", "file:console"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| LabError::Start {
            program: QEMU.into(),
            source,
        })?;
    let begun = Instant::now();
    let mut works = false;
    while !works && begun.elapsed() < TRIAL && child.try_wait().at("wait for", folder)?.is_none() {
        std::thread::sleep(Duration::from_millis(100));
        works = console_says_so(&console);
    }
    works = works || console_says_so(&console);
    // An error here means that it has ended already.
    if child.kill().is_ok() {
        child.wait().at("wait for", folder)?;
    }
    Ok(works)
}

fn console_says_so(console: &Path) -> bool {
    fs::read(console).is_ok_and(|text| String::from_utf8_lossy(&text).contains("LAB-TRIAL-OK"))
}
