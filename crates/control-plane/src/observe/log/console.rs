//! The layer that writes lines. Others can stand beside it: what it does not show, it hides from itself alone.

use std::{
    io::Write,
    sync::{Mutex, PoisonError},
};

use jiff::tz::TimeZone;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, Filter},
    registry::LookupSpan,
};

use super::{Log, fields::Fields, file, levels::is_of_security, loggers::logger, room::Notice};
use crate::{clock::Clock, observe::line_budget::LineBudgets};

/// The field of spans that lines show.
const ZONE: &str = "zone";

/// The field that tells how many lines there would have been before this one.
const LEFT_OUT: &str = "left_out";

/// Where lines are written.
pub(super) enum Sink {
    /// Standard error.
    Stderr,
    File(Mutex<file::Rotated>),
    /// Whatever who made the log gave, a line at a time.
    Given(Mutex<Box<dyn Write + Send>>),
}

/// Returns the layer, with its filter.
pub(super) fn layer<S>(log: Log, clock: Clock, sink: Sink) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let shown = Shown(log.clone());
    Console { log, clock, sink, of_zones: LineBudgets::new() }.with_filter(shown)
}

/// What is shown is decided for each event: levels change while the program runs, and the first answer for a place in
/// the code must not be kept. Lines of other crates are never shown.
struct Shown(Log);

impl<S> Filter<S> for Shown {
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if logger(metadata.target()).is_some() { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        let Some(logger) = logger(metadata.target()) else { return false };
        // A span says whose lines these are, whatever level they have.
        metadata.is_span() || self.0.levels.shows(&logger, *metadata.level())
    }
}

struct Console {
    log: Log,
    clock: Clock,
    sink: Sink,
    /// How many lines the streams of each zone may cause.
    of_zones: LineBudgets,
}

impl Console {
    /// What the log says of its own disk.
    fn word(&self, notice: Notice) -> String {
        let mut fields = Fields::default();
        let level = match notice {
            Notice::Short { free } => {
                fields.set_message(
                    "the disk of the log is nearly full: only errors and who did what are logged, for a while",
                );
                fields.set("free", &free.to_string());
                "WARN"
            }
            Notice::RoomAgain { left_out } => {
                fields.set_message("the disk of the log has room again");
                fields.set(LEFT_OUT, &left_out.to_string());
                "INFO"
            }
        };
        line(&self.clock, level, "kuma-cp.run", &fields)
    }
}

impl<S> Layer<S> for Console
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut zone = OfSpan(None);
        attributes.record(&mut zone);
        if let (Some(zone), Some(span)) = (zone.0, context.span(id)) {
            span.extensions_mut().replace(ZoneOfSpan(zone));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut zone = OfSpan(None);
        values.record(&mut zone);
        if let (Some(zone), Some(span)) = (zone.0, context.span(id)) {
            span.extensions_mut().replace(ZoneOfSpan(zone));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let Some(logger) = logger(metadata.target()) else { return };
        let mut fields = Fields::default();
        let mut before = None;
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(ZoneOfSpan(zone)) = span.extensions().get() {
                // Whoever asks for DEBUG wants to see all of it.
                if *metadata.level() <= Level::INFO {
                    let Some(line) = self.of_zones.take(zone) else { return };
                    before = line.told();
                }
                if metadata.fields().field(ZONE).is_none() {
                    fields.set_as_text(ZONE, zone);
                }
                break;
            }
        }
        event.record(&mut fields);
        if let Some(left_out) = before {
            fields.set(LEFT_OUT, &left_out.to_string());
        }
        let level = level_name(*metadata.level());
        self.log.lines.count(&logger, level);
        let line = line(&self.clock, level, &logger, &fields);
        // A reader that went away must not end the program.
        match &self.sink {
            Sink::Stderr => {
                let _broken_pipe = std::io::stderr().lock().write_all(line.as_bytes());
            }
            Sink::File(file) => {
                let needed = *metadata.level() == Level::ERROR || is_of_security(&logger);
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.write(&line, needed, |notice| self.word(notice));
            }
            Sink::Given(given) => {
                let mut given = given.lock().unwrap_or_else(PoisonError::into_inner);
                let _broken_pipe = given.write_all(line.as_bytes());
            }
        }
    }
}

struct ZoneOfSpan(Box<str>);

/// Reads the zone from the fields of a span.
struct OfSpan(Option<Box<str>>);

impl Visit for OfSpan {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == ZONE {
            self.0 = Some(value.into());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == ZONE {
            self.0 = Some(format!("{value:?}").into());
        }
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}

/// Returns one line, with its end.
pub(super) fn line(clock: &Clock, level: &str, logger: &str, fields: &Fields) -> String {
    let now = clock.now().to_zoned_datetime(TimeZone::system());
    let zone = if now.offset().is_zero() { "Z".to_owned() } else { now.strftime("%z").to_string() };
    let time = now.strftime("%Y-%m-%dT%H:%M:%S%.3f");
    let mut line = format!("{time}{zone}\t{level}\t{logger}\t{}", fields.message());
    if let Some(object) = fields.object() {
        line.push('\t');
        line.push_str(&object);
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests;
