//! The command line: which command, which settings. One file a command.

mod demo;
mod dtmf;
mod load;
mod log;
mod serve;

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

use crate::config::{CONFIG_FILE, Config, ConfigError, SETTINGS, Values};

/// Runs the command that `arguments` (with the program's name first) ask for. 0: it went well; 1: it did not;
/// 2: the arguments or settings were wrong.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = match command_line().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let (command, given) = matches.subcommand().unwrap_or(("serve", &matches));
    // It needs no settings.
    if command == "dtmf" {
        return exit(dtmf::run(given).map_err(Into::into));
    }
    if command == "load" {
        return match load::run(given) {
            Ok(false) => ExitCode::FAILURE,
            outcome => exit(outcome.map(drop)),
        };
    }
    let config = match read_config(&[given, &matches]) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("strowger: {error}");
            return ExitCode::from(2);
        }
    };
    exit(match command {
        "demo" => demo::run(config),
        _ => serve::run(config),
    })
}

fn exit(outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("strowger: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command_line() -> Command {
    Command::new("strowger")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A call automation engine: SIP calls run by REST, rules and webhooks")
        .after_help("Without a command: serve.\nEvery setting can also come from the environment (STROWGER_…) or from a TOML file (--config).")
        .args(setting_arguments())
        .subcommand(
            Command::new("serve").about("Run the engine (what happens without a command)").args(setting_arguments()),
        )
        .subcommand(
            Command::new("demo")
                .about("Show it all in half a minute: an engine, two phones, an application")
                .args(setting_arguments()),
        )
        .subcommand(dtmf::command())
        .subcommand(load::command())
}

fn setting_arguments() -> impl Iterator<Item = Arg> {
    let file = Arg::new(CONFIG_FILE)
        .long(CONFIG_FILE)
        .value_name("FILE")
        .help("Settings as TOML [environment STROWGER_CONFIG; default ./strowger.toml where there is one]");
    std::iter::once(file).chain(SETTINGS.iter().map(|setting| {
        Arg::new(setting.name).long(setting.name).value_name("VALUE").allow_hyphen_values(true).help(format!(
            "{} [default {}; {}; {}]",
            setting.help,
            if setting.default.is_empty() { "empty" } else { setting.default },
            setting.allowed,
            setting.environment_name()
        ))
    }))
}

fn read_config(given: &[&ArgMatches]) -> Result<Config, ConfigError> {
    let flag = |name: &str| given.iter().find_map(|m| m.get_one::<String>(name).cloned());
    let environment = |name: &str| std::env::var(name).ok();
    let mut values = Values::default();
    for setting in SETTINGS {
        if let Some(value) = flag(setting.name) {
            values.offer(setting.name, value, &format!("flag --{}", setting.name));
        }
    }
    values.offer_environment(environment);
    let named =
        flag(CONFIG_FILE).or_else(|| environment("STROWGER_CONFIG").filter(|v| !v.is_empty())).map(PathBuf::from);
    match named {
        Some(file) => values.offer_file(&file)?,
        None => {
            let beside = PathBuf::from("strowger.toml");
            if beside.is_file() {
                values.offer_file(&beside)?;
            }
        }
    }
    Config::from_values(&values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command_line().debug_assert();
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        for line in [["strowger", "--max-calls", "3", "serve"], ["strowger", "serve", "--max-calls", "3"]] {
            let matches = command_line().try_get_matches_from(line).unwrap();
            let (_, given) = matches.subcommand().unwrap();
            assert_eq!(read_config(&[given, &matches]).unwrap().max_calls, 3);
        }
    }
}
