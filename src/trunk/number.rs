//! How a carrier writes numbers, and how we do: E.164 (`+442079460000`) on our side, his habits on his.

use regex::{Regex, RegexBuilder};

use super::document::{Format, Numbers, Rewrite};

/// The most readings of one number; what is denied is denied by the first of them.
const MAX_READINGS: usize = 16;

/// Most bytes that one compiled expression may take.
const MAX_REGEX: usize = 64 * 1024;

/// A carrier's habits, ready to be used.
#[derive(Clone, Debug, Default)]
pub struct NumberPlan {
    country: String,
    national: String,
    international: String,
    format: Format,
    inward: Vec<(Regex, String)>,
    outward: Vec<(Regex, String)>,
}

/// Compiles an expression that must match the whole of a number.
pub fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(MAX_REGEX).dfa_size_limit(MAX_REGEX).build()
}

impl NumberPlan {
    /// Of what an operator wrote. An expression that cannot be used is left out: `check` has refused it before.
    pub fn new(numbers: &Numbers) -> Self {
        let compiled = |list: &[Rewrite]| {
            list.iter().filter_map(|rewrite| Some((whole(&rewrite.r#match).ok()?, rewrite.replace.clone()))).collect()
        };
        NumberPlan {
            country: numbers.country_code.clone().unwrap_or_default(),
            national: numbers.national_prefix.clone().unwrap_or_default(),
            international: numbers.international_prefix.clone().unwrap_or_default(),
            format: numbers.format,
            inward: compiled(&numbers.inward),
            outward: compiled(&numbers.outward),
        }
    }

    /// A number as the carrier writes it → ours. What is no number, or cannot be told, stays as it is.
    pub fn inward(&self, number: &str) -> String {
        let number = rewrite(&self.inward, number);
        if number.starts_with('+') || !is_number(&number) {
            return number;
        }
        if let Some(rest) = after(&number, &self.international) {
            return format!("+{rest}");
        }
        if self.country.is_empty() {
            return number;
        }
        if let Some(rest) = after(&number, &self.national) {
            return format!("+{}{rest}", self.country);
        }
        match self.format {
            // `442079460000`: the country code is there, without dress. E.164 allows fifteen digits, and an extension
            // is shorter than any of them.
            Format::Plain if number.starts_with(&self.country) && number.len() >= 8 => format!("+{number}"),
            _ => number,
        }
    }

    /// The E.164 number that this is to the carrier, where that can be told.
    pub fn e164(&self, number: &str) -> Option<String> {
        let ours = if number.starts_with('+') { number.to_owned() } else { self.inward(number) };
        ours.starts_with('+').then_some(ours)
    }

    /// Every E.164 number that the carrier might take this for, the number itself first: within the country with and
    /// without its prefixes, and with prefixes where none belong (`+44 (0)20…`). At most [`MAX_READINGS`].
    pub fn readings(&self, number: &str) -> Vec<String> {
        let mut all = vec![number.to_owned()];
        let mut at = 0;
        while let Some(number) = all.get(at).cloned() {
            for reading in self.read_once(&number) {
                if all.len() < MAX_READINGS && !all.contains(&reading) {
                    all.push(reading);
                }
            }
            at += 1;
        }
        all
    }

    fn read_once(&self, number: &str) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(digits) = number.strip_prefix('+') {
            // No country code begins with 0, so this is dialled as it would be without the plus.
            if digits.starts_with('0') {
                all.push(digits.to_owned());
            }
            let within = after(digits, &self.country).and_then(|rest| after(rest, &self.national));
            all.extend(within.map(|rest| format!("+{}{rest}", self.country)));
            return all;
        }
        all.push(self.inward(number));
        if !is_number(number) {
            return all;
        }
        // ITU-T E.123: most of the world dials 00, and a carrier of whom nothing is known may as well.
        let international = if self.international.is_empty() { "00" } else { self.international.as_str() };
        if let Some(rest) = after(number, international) {
            all.push(format!("+{rest}"));
            return all;
        }
        if self.format == Format::Plain {
            all.push(format!("+{number}"));
        }
        all.extend(self.country_before(number));
        all
    }

    /// Digits as a number within the country.
    pub fn country_before(&self, number: &str) -> Option<String> {
        (!self.country.is_empty() && is_number(number)).then(|| format!("+{}{number}", self.country))
    }

    /// A number as we write it → as the carrier wants it.
    pub fn outward(&self, number: &str) -> String {
        let digits = number.strip_prefix('+');
        let written = match (self.format, digits) {
            (Format::E164, _) | (_, None) => number.to_owned(),
            (Format::Plain, Some(digits)) => digits.to_owned(),
            (Format::International, Some(digits)) => format!("{}{digits}", self.international),
            (Format::National, Some(digits)) => match after(digits, &self.country) {
                Some(rest) => format!("{}{rest}", self.national),
                None => format!("{}{digits}", self.international),
            },
        };
        rewrite(&self.outward, &written)
    }
}

/// What follows a prefix that is not empty; something must.
fn after<'a>(number: &'a str, prefix: &str) -> Option<&'a str> {
    if prefix.is_empty() {
        return None;
    }
    number.strip_prefix(prefix).filter(|rest| !rest.is_empty())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// What the first rule that matches makes of it. A result that could not stand in a URI's user part is not taken.
fn rewrite(rules: &[(Regex, String)], number: &str) -> String {
    let found = rules.iter().find(|(pattern, _)| pattern.is_match(number));
    let Some((pattern, replacement)) = found else { return number.to_owned() };
    let new = pattern.replace(number, replacement.as_str()).into_owned();
    let fits = |c: char| c.is_ascii_alphanumeric() || "+-._*#".contains(c);
    if !new.is_empty() && new.len() <= 64 && new.chars().all(fits) { new } else { number.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(format: Format, inward: &[(&str, &str)], outward: &[(&str, &str)]) -> NumberPlan {
        let list = |rules: &[(&str, &str)]| {
            rules.iter().map(|(m, r)| Rewrite { r#match: (*m).into(), replace: (*r).into() }).collect()
        };
        NumberPlan::new(&Numbers {
            country_code: Some("44".into()),
            national_prefix: Some("0".into()),
            international_prefix: Some("00".into()),
            format,
            inward: list(inward),
            outward: list(outward),
        })
    }

    #[test]
    fn what_carriers_write_becomes_e164() {
        let uk = plan(Format::E164, &[], &[]);
        for (theirs, ours) in [
            ("02079460000", "+442079460000"),
            ("00442079460000", "+442079460000"),
            ("0033123456789", "+33123456789"),
            ("+442079460000", "+442079460000"),
            ("7042", "7042"),
            ("anonymous", "anonymous"),
            ("0", "0"),
            ("00", "+440"),
            ("", ""),
            ("999", "999"),
        ] {
            assert_eq!(uk.inward(theirs), ours, "{theirs}");
        }
        assert_eq!(plan(Format::Plain, &[], &[]).inward("442079460000"), "+442079460000");
        assert_eq!(plan(Format::Plain, &[], &[]).inward("4420"), "4420", "an extension");
        assert_eq!(NumberPlan::default().inward("020"), "020");
    }

    #[test]
    fn a_number_has_many_readings_and_few_of_them_are_wrong() {
        let uk = plan(Format::E164, &[("9(\\d{11})", "$1")], &[]);
        for written in [
            "+44900123",
            "0044900123",
            "0900123",
            "900123",
            "+440900123",
            "00440900123",
            "+0044900123",
            "+0900123",
            "000044900123",
        ] {
            let readings = uk.readings(written);
            assert_eq!(readings[0], written);
            assert!(readings.contains(&"+44900123".to_owned()), "{written}: {readings:?}");
        }
        assert_eq!(uk.readings("0033123456789"), ["0033123456789", "+33123456789"]);
        assert!(uk.readings("902079460000").contains(&"+442079460000".to_owned()), "a rewrite of the carrier's");
        assert_eq!(uk.readings("+33123456789"), ["+33123456789"]);
        assert_eq!(NumberPlan::default().readings("0044900"), ["0044900", "+44900"]);
        assert_eq!(NumberPlan::default().readings("7042"), ["7042"]);
        assert!(plan(Format::Plain, &[], &[]).readings("33123456").contains(&"+33123456".to_owned()));
        assert!(uk.readings(&"0".repeat(64)).len() <= MAX_READINGS);
        assert_eq!(uk.e164("0900123").as_deref(), Some("+44900123"));
        assert_eq!(uk.e164("900123"), None);
    }

    #[test]
    fn ours_becomes_what_carriers_want() {
        for (format, home, abroad) in [
            (Format::E164, "+442079460000", "+33123"),
            (Format::Plain, "442079460000", "33123"),
            (Format::National, "02079460000", "0033123"),
            (Format::International, "00442079460000", "0033123"),
        ] {
            let plan = plan(format, &[], &[]);
            assert_eq!(plan.outward("+442079460000"), home);
            assert_eq!(plan.outward("+33123"), abroad);
            assert_eq!(plan.outward("7042"), "7042");
        }
    }

    #[test]
    fn rewrites_take_the_first_that_matches_the_whole_and_never_break_a_uri() {
        let plan = plan(
            Format::E164,
            &[("9(\\d{4})", "+4420794$1"), ("\\d{4}", "x")],
            &[(r"\+44(.*)", "tech#44$1"), ("7", "a@b;c")],
        );
        assert_eq!(plan.inward("91234"), "+44207941234");
        assert_eq!(plan.inward("991234"), "991234", "not the whole");
        assert_eq!(plan.outward("+4420"), "tech#4420");
        assert_eq!(plan.outward("7"), "7");
    }
}
