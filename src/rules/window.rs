//! Windows of local time: the days on which they begin, wrap over midnight, daylight saving.
//!
//! A window is compared with local wall-clock time. Where the clock goes forward, the times that do not exist are not
//! there to match; where it goes back, the hour that comes twice matches twice. The days name the day on which a
//! window begins: `fri 18:00–08:00` holds on Saturday at 07:59 and not on Friday at 07:59.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::document::TimeWindow;
use super::error::RuleError;
use crate::time::Time;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MIDNIGHT: u16 = 24 * 60;

/// A window that cannot be wrong.
#[derive(Clone, Debug)]
pub(super) struct Window {
    zone: TimeZone,
    form: WindowForm,
}

/// What two windows are compared by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WindowForm {
    zone: String,
    /// Days on which it begins, from Monday.
    days: [bool; 7],
    /// Minutes from midnight; `to` at or before `from` is on the next day.
    from: u16,
    to: u16,
}

impl Window {
    pub(super) fn compile(window: &TimeWindow, errors: &mut Vec<RuleError>) -> Option<Window> {
        let before = errors.len();
        let zone = TimeZone::get(&window.zone)
            .map_err(|_| {
                let message = format!("`{}` is not a time zone; an IANA name such as Europe/London is", window.zone);
                errors.push(RuleError::new("match.time.zone", message));
            })
            .ok();
        let mut days = [window.days.is_none(); 7];
        for (at, text) in window.days.iter().flatten().enumerate() {
            match span(text) {
                Some(span) => span.for_each(|day| {
                    if let Some(day) = days.get_mut(day) {
                        *day = true;
                    }
                }),
                None => errors.push(RuleError::new(
                    format!("match.time.days[{at}]"),
                    format!("`{text}` is not a day ({}) or a span of days (mon-fri)", DAYS.join(", ")),
                )),
            }
        }
        if window.days.as_ref().is_some_and(Vec::is_empty) {
            errors.push(RuleError::new("match.time.days", "name at least one day, or leave it out for every day"));
        }
        let mut minutes = |field: &str, text: &str, midnight: bool| {
            let parsed = minute_of_day(text).filter(|minute| *minute < MIDNIGHT || midnight);
            if parsed.is_none() {
                let last = if midnight { "24:00" } else { "23:59" };
                errors.push(RuleError::new(
                    format!("match.time.{field}"),
                    format!("`{text}` is not a time of day from 00:00 to {last}"),
                ));
            }
            parsed
        };
        let (from, to) = match (&window.from, &window.to) {
            (None, None) => (Some(0), Some(MIDNIGHT)),
            (Some(from), Some(to)) => (minutes("from", from, false), minutes("to", to, true)),
            (Some(_), None) => {
                errors.push(RuleError::new("match.time.to", "is required where `from` is given"));
                (None, None)
            }
            (None, Some(_)) => {
                errors.push(RuleError::new("match.time.from", "is required where `to` is given"));
                (None, None)
            }
        };
        if from.is_some() && from == to {
            errors.push(RuleError::new(
                "match.time.to",
                "is the same as `from`; for the whole day leave both out, or write 00:00 and 24:00",
            ));
        }
        if errors.len() > before {
            return None;
        }
        let zone = zone?;
        let name = zone.iana_name().unwrap_or(&window.zone).to_owned();
        Some(Window { zone, form: WindowForm { zone: name, days, from: from?, to: to? } })
    }

    pub(super) fn form(&self) -> &WindowForm {
        &self.form
    }

    pub(super) fn contains(&self, now: Time) -> bool {
        let Some((day, minute)) = self.local(now) else { return false };
        let WindowForm { days, from, to, .. } = &self.form;
        let begins = |day: usize| days.get(day % 7).copied().unwrap_or(false);
        if from < to {
            begins(day) && (*from..*to).contains(&minute)
        } else {
            (begins(day) && minute >= *from) || (begins(day + 6) && minute < *to)
        }
    }

    /// The local day (0: Monday) and minute.
    fn local(&self, now: Time) -> Option<(usize, u16)> {
        let stamp = Timestamp::from_microsecond(i64::try_from(now.as_micros()).ok()?).ok()?;
        let local = stamp.to_zoned(self.zone.clone());
        let day = usize::try_from(Weekday::to_monday_zero_offset(local.weekday())).ok()?;
        let minute = u16::try_from(local.hour()).ok()? * 60 + u16::try_from(local.minute()).ok()?;
        Some((day, minute))
    }

    /// The window in words.
    pub(super) fn wanted(&self) -> String {
        let WindowForm { zone, days, from, to } = &self.form;
        let names: Vec<&str> = DAYS.iter().zip(days).filter(|(_, on)| **on).map(|(name, _)| *name).collect();
        let days = if names.len() == 7 { "every day".to_owned() } else { names.join(",") };
        format!("{days} from {} to {} in {zone}", clock(*from), clock(*to))
    }

    /// The moment in words.
    pub(super) fn found(&self, now: Time) -> String {
        match self.local(now) {
            Some((day, minute)) => format!("{} {}", DAYS.get(day).copied().unwrap_or_default(), clock(minute)),
            None => now.to_rfc3339(),
        }
    }
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// `HH:MM` as minutes from midnight, `24:00` included.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= MIDNIGHT).then_some(total)
}

/// The days of `mon`, `mon-fri`, `sat-mon`; may count past 6.
fn span(text: &str) -> Option<impl Iterator<Item = usize>> {
    let day = |name: &str| DAYS.iter().position(|known| known.eq_ignore_ascii_case(name.trim()));
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (day(first)?, day(last)?),
        None => (day(text)?, day(text)?),
    };
    let last = if last < first { last + 7 } else { last };
    Some((first..=last).map(|day| day % 7))
}
