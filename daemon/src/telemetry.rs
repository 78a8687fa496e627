//! Logs: JSON in a pod, journal style on a host, plain lines elsewhere; on standard error.

use std::{
    io::{self, IsTerminal as _, Write as _},
    panic, thread,
};

use tracing::{Subscriber, dispatcher, subscriber};
use tracing_subscriber::{
    Layer, Registry,
    filter::{Targets, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    reload,
};

use self::journal::Prioritized;
use crate::cluster::UNLOGGED_TARGET;
use crate::config::{Environment, LogFormat, LogSettings};

mod journal;

/// Changes the filter of a running process.
#[derive(Clone, Debug)]
pub struct LogControl {
    filter: reload::Handle<Targets, Registry>,
}

/// Logging cannot be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The process has a subscriber already.
    #[error("cannot start logging twice")]
    Started(#[source] subscriber::SetGlobalDefaultError),
    /// The directives are refused.
    #[error("cannot read the log filter")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Logging is gone.
    #[error("cannot change the log filter")]
    Reload(#[source] reload::Error),
}

/// Starts logging for the whole process.
///
/// # Errors
/// If `settings.level` does not parse, or on a second call.
pub fn start(
    settings: &LogSettings,
    environment: Environment<'_>,
) -> Result<LogControl, TelemetryError> {
    let style = Style::choose(settings.format, &Surroundings::of_process(environment));
    let (subscriber, control) = build(style, &settings.level, io::stderr)?;
    subscriber::set_global_default(subscriber).map_err(TelemetryError::Started)?;
    Ok(control)
}

impl LogControl {
    /// Replaces the filter; the form of the lines stays.
    ///
    /// # Errors
    /// If `level` does not parse; the old filter stays.
    pub fn set_level(&self, level: &str) -> Result<(), TelemetryError> {
        self.filter
            .reload(parse(level)?)
            .map_err(TelemetryError::Reload)
    }
}

/// Makes panics one line that names the place and nothing else: the message of a panic may hold the value that
/// caused it, and that may be a credential.
pub fn install_panic_hook() {
    panic::set_hook(Box::new(|panic| {
        let location = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let thread = thread::current();
        let thread = thread.name().unwrap_or_default();
        if dispatcher::has_been_set() {
            tracing::error!(location, thread, "panicked");
        } else {
            // There is no better place to complain about a broken standard error.
            let _ = writeln!(
                io::stderr(),
                "pullkeeper: panicked at {location} in thread {thread}"
            );
        }
    }));
}

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Priority instead of time and level, which the journal keeps itself.
    Journal,
    Json,
    /// Time, level, target, message, fields.
    Plain,
}

/// What the form depends on when nobody chose one.
#[derive(Debug, Default)]
struct Surroundings {
    pod: bool,
    terminal: bool,
    journal: bool,
}

impl Surroundings {
    fn of_process(environment: Environment<'_>) -> Self {
        let stream = environment("JOURNAL_STREAM").and_then(|stream| stream.into_string().ok());
        Self {
            pod: environment("KUBERNETES_SERVICE_HOST").is_some(),
            terminal: io::stderr().is_terminal(),
            journal: stream.is_some_and(|stream| journal::is_stream(&stream, io::stderr())),
        }
    }
}

impl Style {
    fn choose(format: LogFormat, surroundings: &Surroundings) -> Self {
        match (format, surroundings) {
            (LogFormat::Json, _)
            | (
                LogFormat::Auto,
                Surroundings {
                    pod: true,
                    terminal: false,
                    ..
                },
            ) => Self::Json,
            (_, Surroundings { journal: true, .. }) => Self::Journal,
            _ => Self::Plain,
        }
    }
}

fn build<W>(
    style: Style,
    level: &str,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync + use<W>, LogControl), TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse(level)?);
    let subscriber = Registry::default().with(filter).with(lines(style, writer));
    Ok((subscriber, LogControl { filter: handle }))
}

fn lines<S, W>(style: Style, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_ansi(false).with_writer(writer);
    // Not a directive of the filter above, which a more specific one could override.
    let printable = filter_fn(|metadata| !metadata.target().starts_with(UNLOGGED_TARGET));
    let layer = match style {
        Style::Journal => layer
            .without_time()
            .with_level(false)
            .map_event_format(Prioritized)
            .boxed(),
        Style::Json => layer.json().flatten_event(true).boxed(),
        Style::Plain => layer.boxed(),
    };
    layer.with_filter(printable).boxed()
}

fn parse(level: &str) -> Result<Targets, TelemetryError> {
    level.parse().map_err(TelemetryError::Filter)
}

#[cfg(test)]
mod tests;
