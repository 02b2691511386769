//! What the node knows of itself: boot id, pressure, and whether its dm-clone is fit.

mod clone;
#[cfg(any(test, feature = "fake"))]
mod fake;

use std::path::PathBuf;

use volward_ports::Machine;

use crate::kernel;

/// The running kernel, by /proc.
#[derive(Clone, Debug)]
pub struct Kernel {
    proc: PathBuf,
}

impl Kernel {
    /// The kernel this process runs on.
    #[must_use]
    pub fn new() -> Self {
        Self {
            proc: PathBuf::from("/proc"),
        }
    }
}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine for Kernel {
    fn boot_id(&self) -> String {
        let path = self.proc.join("sys/kernel/random/boot_id");
        match kernel::text(&path) {
            Ok(text) => text.trim().to_owned(),
            Err(error) => {
                // Every kernel has it. An empty id matches no slot and no spooled release.
                tracing::error!(path = %path.display(), %error, "cannot read the boot id");
                String::new()
            }
        }
    }

    fn io_pressure(&self) -> Option<u32> {
        // Not there on kernels built without PSI, or started without it.
        pressure(&kernel::text(&self.proc.join("pressure/io")).ok()?)
    }

    fn dm_clone_unfit(&self) -> Option<String> {
        clone::unfit(&self.proc)
    }
}

/// `some avg10=0.00 avg60=1.23 ...`: the second number, in hundredths.
fn pressure(text: &str) -> Option<u32> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    let value = some
        .split_whitespace()
        .find_map(|word| word.strip_prefix("avg60="))?;
    let (whole, hundredths) = value.split_once('.')?;
    let whole: u32 = whole.parse().ok()?;
    (hundredths.len() == 2)
        .then(|| hundredths.parse::<u32>().ok())?
        .map(|part| whole * 100 + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_in_hundredths() {
        let text = "some avg10=0.22 avg60=12.05 avg300=1.10 total=58761459\n\
                    full avg10=0.23 avg60=0.16 avg300=0.10 total=58761459\n";
        assert_eq!(pressure(text), Some(1205));
        for bad in ["", "full avg60=1.00", "some avg60=1", "some avg60=x.00"] {
            assert_eq!(pressure(bad), None, "{bad}");
        }
    }

    #[test]
    fn this_kernel_has_a_boot_id() {
        assert_eq!(Kernel::new().boot_id().len(), 36);
    }
}
