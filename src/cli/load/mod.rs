//! `strowger load`: many calls at once, and what they measured. The generator itself is `phone::load`'s; arguments and
//! where the figures go are here.

mod check;

use std::error::Error;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::dtmf::Way;
use crate::phone::load::{self, Figures, LoadConfig, MAX_CALLS, Pressing, Say};
use crate::random::Random;

type Outcome<T> = Result<T, Box<dyn Error>>;

const ABOUT: &str = "\
Place many calls at once and measure the other end: answer times, RTP pacing and loss, CPU and memory

`place` is the generator, `answer` a bare far end whose figures are the floor for a ratio, `quiet` tells whether the \
machine is fit for timing, `table` makes one table of many runs. benches/load does it all.";

/// The command's arguments.
pub fn command() -> Command {
    let (first, _) = ABOUT.split_once('\n').unwrap_or((ABOUT, ""));
    Command::new("load")
        .about(first)
        .long_about(ABOUT)
        .subcommand_required(true)
        .subcommand(place_command())
        .subcommand(
            Command::new("answer")
                .about("Answer every call at once and say something: what the least far end costs")
                .arg(option("listen", "IP:PORT", "Where SIP is spoken, UDP").default_value("127.0.0.1:5070"))
                .arg(option("say", "WHAT", "none, silence, noise, or a WAV file").default_value("noise"))
                .arg(option("seconds", "S", "How long").default_value("86400")),
        )
        .subcommand(
            Command::new("quiet")
                .about("Is the machine fit for timing now? Exit code 1: no")
                .arg(Arg::new("seconds").value_name("SECONDS").default_value("3")),
        )
        .subcommand(
            Command::new("table")
                .about("Runs (JSON lines of place --json) as a Markdown table, divided by those labelled floor")
                .arg(Arg::new("file").value_name("FILE").required(true).value_parser(value_parser!(PathBuf))),
        )
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn place_command() -> Command {
    Command::new("place")
        .about(
            "Place calls, hold them, measure, hang up. Exit code 1: a call failed, or a digit was not told as pressed",
        )
        .arg(Arg::new("target").value_name("IP:PORT").required(true).help("The SIP server under test, UDP"))
        .args([
            option("user", "USER", "User part of whom is called").default_value("100"),
            option("local", "IP", "Our own address [default: 127.0.0.1, or any for a target elsewhere]"),
            option("calls", "N", "Calls held together, 1 to 10000").default_value("100"),
            option("rate", "R", "Calls placed a second").default_value("40"),
            option("settle", "S", "Seconds from the last answer to the measuring").default_value("2"),
            option("window", "S", "Seconds of one measurement of CPU").default_value("1"),
            option("windows", "N", "How many of them follow each other").default_value("10"),
            option("timeout", "S", "A call not answered by then has failed").default_value("10"),
            option("say", "WHAT", "none, silence, noise (like speech), or a WAV file of 16-bit mono at 8 kHz")
                .default_value("none"),
            option("press", "N", "Keys that each call presses").default_value("0"),
            option("ways", "LIST", "How: any of rfc4733, in-band, info").default_value("rfc4733,in-band,info"),
            option("tone", "MS", "How long a key is down").default_value("100"),
            option("pause", "MS", "The shortest pause between two keys").default_value("200"),
            option("seed", "N", "What is pressed follows from it").default_value("1"),
            option("pid", "PID,…", "Processes to charge CPU and memory to"),
            option(
                "check",
                "URL",
                "REST address of a Strowger: does its timeline tell of each key, once and in order?",
            ),
            option("key-file", "FILE", "Its access key, for --check").default_value("strowger-data/access-key"),
            option("label", "TEXT", "Name of the run; `floor` is what a table divides by").default_value("engine"),
            option("json", "FILE", "Append the figures as a line of JSON"),
        ])
}

/// Runs it; true: all went well.
pub fn run(given: &ArgMatches) -> Outcome<bool> {
    match given.subcommand() {
        Some(("place", given)) => place(given),
        Some(("answer", given)) => answer(given),
        Some(("quiet", given)) => quiet(given),
        Some(("table", given)) => table(given),
        _ => Ok(false),
    }
}

/// The value of an argument; what does not fit is told with its name.
fn value<T: FromStr>(given: &ArgMatches, name: &str) -> Outcome<T>
where
    T::Err: std::fmt::Display,
{
    let text = given.get_one::<String>(name).map(String::as_str).unwrap_or_default();
    text.parse().map_err(|error| format!("--{name} {text:?}: {error}").into())
}

fn seconds(given: &ArgMatches, name: &str) -> Outcome<Duration> {
    Duration::try_from_secs_f64(value(given, name)?).map_err(|error| format!("--{name}: {error}").into())
}

fn say(given: &ArgMatches) -> Outcome<Say> {
    Ok(match value::<String>(given, "say")?.as_str() {
        "none" => Say::Nothing,
        "silence" => Say::Silence,
        "noise" => Say::Noise,
        file => Say::File(file.into()),
    })
}

fn ways(given: &ArgMatches) -> Outcome<Vec<Way>> {
    let list: String = value(given, "ways")?;
    let way = |name: &str| match name.trim() {
        "rfc4733" => Ok(Way::TelephoneEvent),
        "in-band" => Ok(Way::InBand),
        "info" => Ok(Way::Info),
        other => Err(format!("--ways: {other:?} is none of rfc4733, in-band, info").into()),
    };
    list.split(',').map(way).collect()
}

fn config(given: &ArgMatches) -> Outcome<LoadConfig> {
    let target: SocketAddr = value(given, "target")?;
    let any = if target.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::from([0u16; 8]) };
    let local = match given.get_one::<String>("local") {
        Some(_) => value(given, "local")?,
        None if target.ip().is_loopback() => target.ip(),
        None => way_to(target).unwrap_or(any),
    };
    let pids = match given.get_one::<String>("pid") {
        Some(list) => list.split(',').map(|pid| pid.trim().parse()).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let count: usize = value(given, "press")?;
    let pressing =
        Pressing { count, ways: ways(given)?, tone_ms: value(given, "tone")?, pause_ms: value(given, "pause")? };
    let config = LoadConfig {
        target,
        user: value(given, "user")?,
        local,
        calls: value(given, "calls")?,
        rate: value(given, "rate")?,
        settle: seconds(given, "settle")?,
        window: seconds(given, "window")?,
        windows: value(given, "windows")?,
        timeout: seconds(given, "timeout")?,
        say: say(given)?,
        pressing: (count > 0).then_some(pressing),
        pids,
        seed: value(given, "seed")?,
        label: value(given, "label")?,
    };
    if !(1..=MAX_CALLS).contains(&config.calls) {
        return Err(format!("--calls: 1 to {MAX_CALLS} are allowed").into());
    }
    if !(0.01..=10_000.0).contains(&config.rate) {
        return Err("--rate: 0.01 to 10000 a second are allowed".into());
    }
    Ok(config)
}

/// The address from which the system would send there.
fn way_to(target: SocketAddr) -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind(if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).ok()?;
    socket.connect(target).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn place(given: &ArgMatches) -> Outcome<bool> {
    let config = config(given)?;
    crate::engine::raise_open_files();
    let outcome = load::place(&config, random()?)?;
    let figures = &outcome.figures;
    println!("{figures}");
    let mut well = figures.failed == 0;
    if let Some(url) = given.get_one::<String>("check") {
        let key = std::fs::read_to_string(value::<PathBuf>(given, "key-file")?)?;
        let checked = check::check(url, key.lines().next().unwrap_or_default(), &outcome.presses)?;
        println!("{checked}");
        well &= checked.is_right();
    }
    if let Some(path) = given.get_one::<String>("json") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(file, "{}", serde_json::to_string(figures)?)?;
    }
    Ok(well)
}

fn random() -> Outcome<Random> {
    Ok(Random::from_seed(crate::engine::entropy()?))
}

fn answer(given: &ArgMatches) -> Outcome<bool> {
    crate::engine::raise_open_files();
    load::answer(value(given, "listen")?, &say(given)?, seconds(given, "seconds")?, random()?, |address| {
        println!("answering on {address}, process {}", std::process::id());
    })?;
    Ok(true)
}

fn quiet(given: &ArgMatches) -> Outcome<bool> {
    let cores = load::quiet::watch(seconds(given, "seconds")?);
    for core in &cores {
        let (lost, longest) = (core.lost * 100.0, core.longest.as_secs_f64() * 1e3);
        println!("core {}  lost {lost:.1} %  longest gap {longest:.1} ms", core.number);
    }
    let quiet = !cores.is_empty() && cores.iter().all(load::quiet::Core::is_quiet);
    println!(
        "{}",
        if quiet { "quiet: figures taken now stand" } else { "NOT QUIET: times and CPU taken now do not stand" }
    );
    Ok(quiet)
}

fn table(given: &ArgMatches) -> Outcome<bool> {
    let text = std::fs::read_to_string(given.get_one::<PathBuf>("file").ok_or("no file")?)?;
    let runs = text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str);
    let runs: Vec<Figures> = runs.collect::<Result<_, _>>()?;
    print!("{}", load::table(&runs));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Outcome<LoadConfig> {
        let matches = command().try_get_matches_from(line)?;
        config(matches.subcommand_matches("place").ok_or("place")?)
    }

    #[test]
    fn arguments_make_a_run_or_are_refused_by_name() {
        let run = parse(&["load", "place", "127.0.0.1:5060", "--calls", "7", "--press", "20", "--pid", "1,2"]).unwrap();
        assert_eq!((run.calls, run.pids, run.local), (7, vec![1, 2], "127.0.0.1".parse().unwrap()));
        assert_eq!(run.pressing.unwrap().ways, Way::ALL);
        assert_eq!((run.say, run.windows), (Say::Nothing, 10));
        for (wrong, name) in [("--calls", "0"), ("--rate", "0"), ("--ways", "flags"), ("--say", "")].map(|w| (w, w.0)) {
            let refused = parse(&["load", "place", "127.0.0.1:5060", wrong.0, wrong.1]);
            let fits = |error: Box<dyn Error>| error.to_string().contains(name);
            assert!(wrong.0 == "--say" || refused.is_err_and(fits), "{wrong:?}");
        }
        assert!(parse(&["load", "place", "nowhere"]).is_err());
    }
}
