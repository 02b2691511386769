//! What the daemon says: a line an event, with its fields. journald's own protocol would keep these as fields of a
//! record, which `journalctl -u volwardd` does not show: no pool, no volume, no reason.

use std::fmt;
use std::io::IsTerminal;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// To stderr, which is journald's where systemd started us. `VOLWARD_LOG` filters as `RUST_LOG` does for others.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("VOLWARD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        registry
            .with(lines.with_ansi(false).event_format(ForJournald))
            .init();
    } else {
        registry
            .with(lines.with_ansi(std::io::stderr().is_terminal()))
            .init();
    }
}

/// Time and program are journald's; the level goes before the line, as sd-daemon(3) has it.
struct ForJournald;

impl<S, N> FormatEvent<S, N> for ForJournald
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        let mut said = String::new();
        context.format_fields(Writer::new(&mut said), event)?;
        // What LVM complains of has lines; each would be a record of its own, without its level.
        writeln!(writer, "<{priority}>{}", said.replace('\n', " | "))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_of_the_journal_has_its_level_and_all_that_was_said() {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .event_format(ForJournald)
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(pool = %"vg0", reason = %"it is\ngone", "this pool cannot be used yet");
            tracing::info!("ready");
        });
        let said = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            said,
            "<3>this pool cannot be used yet pool=vg0 reason=it is | gone\n<6>ready\n"
        );
    }
}
