//! The rules of the house that a program can check: what each room may touch, how files look, what ships with what.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A file longer than this wants splitting.
const MOST_LINES: usize = 800;

/// Who may name whom with `crate::`: engine → api, events, store, workers → call → sip, media, rules → rtp, dtmf →
/// plain types. Shells that need no engine (prompt, phone, clock, config) stand beside it.
///
/// - `flow` is an application: it speaks a call's commands and events, and no call knows it. So it stands above `call`.
/// - A room's IO part (`sip/transport`, `media/worker`) knows its pure room, never the other way round; the `pub mod`
///   line that puts it on the map is no use of it.
const ARROWS: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("random", &[]),
    ("session", &[]),
    ("line", &[]),
    ("rtp", &["random", "session", "time"]),
    ("dtmf", &["time"]),
    ("sip", &["line", "random", "session", "time"]),
    ("media", &["dtmf", "random", "rtp", "session", "time"]),
    ("capture", &["time"]),
    ("rules", &["time"]),
    ("trunk", &["line", "random", "session", "sip", "time"]),
    ("call", &["dtmf", "media", "session", "sip", "time"]),
    ("flow", &["call", "dtmf", "rules"]),
    ("clock", &["time"]),
    ("config", &["session"]),
    ("sip/transport", &["random", "session", "sip", "time"]),
    ("media/worker", &["clock", "media", "random", "session", "time"]),
    ("prompt", &["media"]),
    ("store", &["rules", "time", "trunk"]),
    ("events", &["random", "store", "time"]),
    ("api", &["call", "dtmf", "line", "random", "rules", "time", "trunk"]),
    ("phone", &["clock", "dtmf", "media", "media/worker", "random", "rtp", "session", "sip", "sip/transport"]),
    (
        "engine",
        &[
            "api",
            "call",
            "capture",
            "clock",
            "config",
            "events",
            "flow",
            "line",
            "media",
            "media/worker",
            "prompt",
            "random",
            "rules",
            "session",
            "sip",
            "sip/transport",
            "store",
            "time",
            "trunk",
        ],
    ),
    ("cli", &["api", "config", "dtmf", "engine", "line", "media", "phone", "prompt", "random", "sip"]),
];

/// Rooms that never touch the world.
const PURE: &[&str] =
    &["time", "random", "session", "line", "sip", "rtp", "dtmf", "media", "rules", "trunk", "call", "capture", "flow"];

/// What the world is made of.
const WORLD: &str = r"(?x)
    \b(tokio|axum|axum_server|sqlx|reqwest|socket2|rustix|hyper_util|rustls|tracing_subscriber) \s* (::|;)
    | \b(UdpSocket|TcpStream|TcpListener|ToSocketAddrs|UnixStream)\b
    | \bstd::(fs|thread|process|env|io::(stdin|stdout|stderr))\b
    | \b(Instant|SystemTime)::now\b | \bTimestamp::now\b | \bZoned::now\b
    | \b(thread_rng|from_os_rng|try_from_os_rng|from_entropy|getrandom|OsRng|new_v4|now_v7)\b
    | \b(println|eprintln|print|eprint|dbg)!";

/// Places that read what anybody may send.
const OUTSIDE: &[&str] = &[
    "sip/",
    "rtp/",
    "dtmf/event/",
    "dtmf/info.rs",
    "dtmf/arbiter.rs",
    "media/codec/",
    "media/hearing/",
    "media/stream/",
    "media/worker/",
    "media/source.rs",
    "api/",
    "events/",
    "prompt/",
    "rules/",
];

/// Indexing and expectations there that cannot fail, and why.
const SOUND: &[(&str, &str, &str)] = &[
    ("media/codec/g711.rs", "table[", "tables with a place for each byte, and constants made by the compiler"),
    ("media/codec/g711.rs", "table(law)[usize::from(byte)]", "a table with a place for each byte"),
    ("media/codec/g711.rs", "_ENCODE[usize::from(sample as u16 >> ", "tables with a place for each shifted sample"),
    ("media/codec/opus/mod.rs", ".expect(\"16 kHz mono is", "a constant rate, and tests that make one"),
    ("media/codec/opus/mod.rs", ".expect(\"only rates that it takes", "constant rates, and tests that make each"),
    ("media/hearing/decimate.rs", "around[REACH", "an array of twice the reach and one: the compiler checks it"),
    ("media/hearing/tonal.rs", "products[", "a square of constant size, walked inside it"),
    ("media/hearing/tonal.rs", "lower[", "a square of constant size, walked inside it"),
    ("media/hearing/tonal.rs", "weights[", "an array of constant size, walked inside it"),
    ("media/hearing/simulator.rs", "", "of tests alone"),
    ("rtp/packet.rs", "head[", "an array of four bytes and literal indices: the compiler checks them"),
    ("rtp/packet.rs", "out[", "an array of twelve bytes and literal indices: the compiler checks them"),
    ("dtmf/arbiter.rs", "told[way as usize]", "an array with a place for each way"),
    ("api/admin/documents.rs", r#"document["name"]"#, "reached only where the document is an object"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(under: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(under)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A source file: its place under `src/`, its text, and its text without comments, strings and tests.
struct Source {
    place: String,
    text: String,
    code: String,
}

impl Source {
    /// The room it belongs to.
    fn room(&self) -> &str {
        for io in ["sip/transport", "media/worker"] {
            if self.place.starts_with(io) {
                return io;
            }
        }
        let first = self.place.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Lines of code with their numbers and how they are written.
    fn lines(&self) -> impl Iterator<Item = (usize, &str, &str)> {
        self.code.lines().zip(self.text.lines()).enumerate().map(|(at, (code, written))| (at + 1, code, written.trim()))
    }
}

/// All of `src/` that is not a test.
fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for path in files("src", "rs") {
        let place = path.strip_prefix(root().join("src")).expect("under src").display().to_string();
        if place.split('/').any(|part| part == "tests") || place.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        let plain = without_words(&text);
        let code = match plain.find("#[cfg(test)]\nmod tests {") {
            None => plain,
            Some(at) => {
                // Cut to the end of the file, so nothing else may follow.
                let rest = plain.get(at..).unwrap_or_default();
                let end = rest.find("\n}\n").map(|end| rest.get(end + 3..).unwrap_or_default().trim());
                assert_eq!(end, Some(""), "{place}: the tests come last");
                plain.get(..at).unwrap_or_default().to_owned()
            }
        };
        sources.push(Source { place, text, code });
    }
    assert!(sources.len() > 100, "the sources were found");
    sources
}

/// Blanks comments and the insides of strings; lines stay where they are.
fn without_words(text: &str) -> String {
    let pattern = r##"(?sx)
        //[^\n]* | /\*.*?\*/                                  # comments
        | \bb?r\#"(?P<hashed>.*?)"\# | \bb?r"(?P<raw>[^"]*)"   # raw strings
        | "(?P<plain>(?:\\.|[^"\\])*)"                        # strings
        | '(?:\\.[^']*|[^'\\])'                               # characters"##;
    let words = Regex::new(pattern).expect("a pattern");
    words
        .replace_all(text, |found: &regex::Captures| {
            let whole = &found[0];
            let lines = "\n".repeat(whole.matches('\n').count());
            if whole.ends_with('"') || whole.ends_with("\"#") { format!("\"\"{lines}") } else { lines }
        })
        .into_owned()
}

fn assert_none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

#[test]
fn words_are_not_code() {
    let text = "a(\"x \\\" // y\"); // tokio::z\nb('\"', r#\"q\"w\"#); /* c\n */ d::<'_>(e['x']);\n";
    assert_eq!(without_words(text), "a(\"\"); \nb(, \"\"); \n d::<'_>(e[]);\n");
}

/// Rule 1: no clock, randomness, socket, file or thread in a pure room. Time and randomness come in as values.
#[test]
fn pure_rooms_do_not_touch_the_world() {
    let world = Regex::new(WORLD).expect("a pattern");
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for source in sources() {
        if PURE.contains(&source.room()) {
            seen.insert(source.room().to_owned());
            for (number, code, written) in source.lines() {
                if world.is_match(code) {
                    wrong.push(format!("src/{}:{number}: {written}", source.place));
                }
            }
        }
    }
    assert_eq!(seen.len(), PURE.len(), "every pure room was looked at: {seen:?}");
    assert_none("a pure room touches the world", &wrong);
    for line in ["use tokio::sync;", "std::net::UdpSocket", "Instant::now()", "std::fs::read(p)", "Uuid::new_v4()"] {
        assert!(world.is_match(line), "{line} would be seen");
    }
}

/// Rule 2: dependencies point one way.
#[test]
fn dependencies_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let names = Regex::new(r"\bcrate::(\w+)(?:::(\w+))?").expect("a pattern");
    let lending = Regex::new(r"use (self::)?(worker|transport)\b").expect("a pattern");
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for source in sources() {
        let room = source.room();
        if matches!(room, "lib" | "main") {
            continue;
        }
        let may = allowed.get(room).unwrap_or_else(|| panic!("room {room} is not on the map"));
        for found in names.captures_iter(&source.code) {
            let (first, second) = (&found[1], found.get(2).map_or("", |m| m.as_str()));
            let to = match (first, second) {
                ("sip", "transport") => "sip/transport",
                ("media", "worker") => "media/worker",
                _ => first,
            };
            if to != room {
                used.insert((room.to_owned(), to.to_owned()));
                if !may.contains(&to) {
                    wrong.push(format!("src/{}: {room} → {to}", source.place));
                }
            }
        }
        // A grouped import would hide its rooms from the pattern, and a re-export would lend IO to a pure room.
        if source.code.contains("crate::{") {
            wrong.push(format!("src/{}: write one `use crate::room` a room", source.place));
        }
        if matches!(source.place.as_str(), "media/mod.rs" | "sip/mod.rs") && lending.is_match(&source.code) {
            wrong.push(format!("src/{}: a pure room re-exports its IO part", source.place));
        }
    }
    assert_none("arrows that the map does not have", &wrong);
    let unused: Vec<_> = ARROWS
        .iter()
        .flat_map(|(from, to)| to.iter().map(move |to| (from.to_string(), to.to_string())))
        .filter(|arrow| !used.contains(arrow))
        .map(|(from, to)| format!("{from} → {to}"))
        .collect();
    assert_none("arrows on the map that no code has", &unused);
    // No circles: each room can be taken off once all it needs is off.
    let mut left = allowed;
    while let Some(room) = left.iter().find(|(_, to)| to.iter().all(|t| !left.contains_key(t))).map(|(room, _)| *room) {
        left.remove(room);
    }
    assert!(left.is_empty(), "a circle among {:?}", left.keys());
}

/// Rule 4: a file says its purpose, and is short enough to be read.
#[test]
fn files_say_their_purpose_and_are_short() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for path in files(folder, "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let place = path.strip_prefix(root()).expect("in the tree").display();
            if !text.starts_with("//!") {
                wrong.push(format!("{place} does not begin with its purpose (//!)"));
            }
            let lines = text.lines().count();
            if lines > MOST_LINES {
                wrong.push(format!("{place} has {lines} lines, {MOST_LINES} are the most"));
            }
        }
    }
    assert_none("files", &wrong);
}

/// Rule 6: nothing from outside can make the engine panic. `expect` and `unreachable!` state the invariant that makes
/// them sound; `unwrap` states nothing, so it is for tests only.
#[test]
fn nothing_from_outside_panics() {
    let never = Regex::new(r"\.unwrap\(\)|\b(todo|unimplemented)!|unreachable!\(\)|\.expect\(\)").expect("a pattern");
    let panics = Regex::new(r"\bpanic!|\b(assert|assert_eq|assert_ne)!|\.expect\(").expect("a pattern");
    let index = Regex::new(r"[\w\)\]]\[").expect("a pattern");
    let mut wrong = Vec::new();
    for source in sources() {
        let outside = OUTSIDE.iter().any(|place| source.place.starts_with(place));
        for (number, code, written) in source.lines() {
            let sound = || SOUND.iter().any(|(place, at, _)| source.place == *place && written.contains(at));
            // HMAC is defined for keys of any length.
            let stated = || written.contains("HMAC takes keys of any length");
            if never.is_match(code)
                || outside && panics.is_match(code) && !stated() && !sound()
                || outside && index.is_match(code) && !sound()
            {
                wrong.push(format!("src/{}:{number}: {written}", source.place));
            }
        }
    }
    assert_none("this may panic", &wrong);
}

/// The same SQL files serve SQLite and PostgreSQL.
#[test]
fn migrations_are_portable() {
    let foreign = Regex::new(
        r"(?ix) \b(AUTOINCREMENT|AUTO_INCREMENT|SERIAL|BIGSERIAL|WITHOUT\s+ROWID|STRICT|PRAGMA|JSONB|UUID|BLOB|BYTEA
            |DATETIME|TIMESTAMPTZ|INSERT\s+OR|REPLACE\s+INTO|IFNULL|GLOB|ROWID|INTEGER|INT|REAL|BOOLEAN
            |datetime\s*\(|strftime|now\s*\()\b | ` | \[ | ::",
    )
    .expect("a pattern");
    let migrations = files("migrations", "sql");
    assert!(!migrations.is_empty());
    let mut wrong = Vec::new();
    for path in migrations {
        let text = fs::read_to_string(&path).expect("a migration");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("--").next().unwrap_or_default();
            if foreign.is_match(code) {
                wrong.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    assert_none("not portable (TEXT, BIGINT and DOUBLE PRECISION are)", &wrong);
}

/// The manifest names every prompt that ships, and each of them ships.
#[test]
fn the_prompts_are_those_of_the_manifest() {
    let manifest: toml::Table =
        fs::read_to_string(root().join("prompts/manifest.toml")).expect("the manifest").parse().expect("TOML");
    let shipped = fs::read_to_string(root().join("src/prompt/shipped.rs")).expect("the table of what ships");
    let mut named = BTreeSet::new();
    for prompt in manifest["prompt"].as_array().expect("prompts") {
        let word = |key: &str| prompt.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        for key in ["name", "language", "text", "made", "licence"] {
            assert!(!word(key).is_empty(), "{prompt}: {key} is missing");
        }
        let row = format!("Shipped {{ name: {:?}, text: {:?}, ", word("name"), word("text"));
        assert!(shipped.contains(&row), "{row}… is not in shipped.rs");
        let file = root().join("prompts").join(word("file"));
        assert!(named.insert(file.clone()), "{} is named twice", file.display());
        let wav = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(wav.len() > 100 && wav.starts_with(b"RIFF"), "{} is no WAV file", file.display());
    }
    assert_eq!(shipped.matches("Shipped { name: ").count(), named.len());
    let there: BTreeSet<PathBuf> = files("prompts", "wav").into_iter().collect();
    assert_eq!(named, there);
    // Digits, letters and some twenty phrases.
    let name = |n: String| root().join(format!("prompts/en/{n}.wav"));
    for digit in '0'..='9' {
        assert!(there.contains(&name(format!("digits/{digit}"))));
    }
    for letter in 'a'..='z' {
        assert!(there.contains(&name(format!("letters/{letter}"))));
    }
    let phrases = there.iter().filter(|p| p.parent().is_some_and(|folder| folder.ends_with("en"))).count();
    assert!(phrases >= 20, "{phrases} phrases");
}

/// The README's table of settings is the code's: each with its default, and none that is not there.
#[test]
fn the_readme_tells_of_every_setting() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let row = Regex::new(r"(?m)^\| `([a-z][a-z0-9-]*)` \| (?:`([^`]*)`|empty) \|").expect("a pattern");
    let told: BTreeMap<String, String> = row
        .captures_iter(&readme)
        .map(|found| (found[1].to_owned(), found.get(2).map_or("", |default| default.as_str()).to_owned()))
        .collect();
    for setting in strowger::config::SETTINGS {
        assert_eq!(told.get(setting.name).map(String::as_str), Some(setting.default), "{} in README.md", setting.name);
    }
    let known: BTreeSet<&str> = strowger::config::SETTINGS.iter().map(|setting| setting.name).collect();
    let unknown: Vec<_> = told.keys().filter(|name| !known.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "README.md tells of settings that are not there: {unknown:?}");
}
