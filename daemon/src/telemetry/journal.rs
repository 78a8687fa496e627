//! The systemd journal as reader of standard error.

use std::{fmt, os::fd::AsFd};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Whether `JOURNAL_STREAM`, `DEVICE:INODE` in decimal, names this descriptor (systemd.exec(5)). The variable
/// is inherited, so that it alone says nothing about a descriptor that somebody redirected.
pub(super) fn is_stream(variable: &str, descriptor: impl AsFd) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    let named = variable
        .split_once(':')
        .and_then(|(device, inode)| Some((number(device)?, number(inode)?)));
    let actual = nix::sys::stat::fstat(descriptor)
        .ok()
        .map(|stat| (stat.st_dev, stat.st_ino));
    named.is_some() && named == actual
}

/// Puts the priority before the line, by which the journal filters and colours (sd-daemon(3)).
pub(super) struct Prioritized<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for Prioritized<F>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// The number of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}
