//! Tests of the named prompts: what ships, what is uploaded, and what goes wrong on disk.

use super::*;
use crate::prompt::Limits;
use crate::prompt::decode::decode;

const WAV: Format = Format::WAV;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn library(directory: Option<&Path>) -> Library {
    Library::new(&PromptConfig {
        directory: directory.map(Path::to_owned),
        library_count: 3,
        library_bytes: 100,
        ..PromptConfig::default()
    })
}

#[test]
fn every_shipped_prompt_is_found_and_sounds() {
    let library = library(None);
    assert!(shipped::PROMPTS.windows(2).all(|pair| pair[0].name < pair[1].name), "sorted: the look-up relies on it");
    for prompt in shipped::PROMPTS {
        let (info, audio) = library.get(&name(&format!("en/{}", prompt.name))).unwrap();
        let (clip, format) = decode(prompt.name, audio, &Limits::default()).unwrap();
        assert_eq!((format, info.content_type), (WAV, "audio/wav"));
        assert_eq!(clip.samples().len(), prompt.samples, "{}", prompt.name);
        let peak = clip.samples().iter().map(|s| s.unsigned_abs()).max().unwrap();
        // -3 dBFS.
        assert!(peak < 23_200, "{}: peak {peak}", prompt.name);
        let silent = prompt.name.starts_with("silence/");
        assert_eq!(silent, peak < 100, "{}: peak {peak}", prompt.name);
    }
    let mut wanted: Vec<String> = (0..=9).map(|digit| format!("digits/{digit}")).collect();
    wanted.extend(('a'..='z').map(|letter| format!("letters/{letter}")));
    wanted.extend(
        ["digits/star", "digits/pound", "welcome", "goodbye", "invalid-entry", "silence/1s", "beep"].map(String::from),
    );
    for wanted in wanted {
        assert!(shipped::find(&wanted).is_some(), "{wanted}");
    }
}

#[test]
fn the_manifest_tells_of_every_shipped_prompt() {
    let manifest: toml::Table = include_str!("../../../prompts/manifest.toml").parse().unwrap();
    let entries = manifest["prompt"].as_array().unwrap();
    assert_eq!(entries.len(), shipped::PROMPTS.len());
    for (entry, prompt) in entries.iter().zip(shipped::PROMPTS) {
        assert_eq!(entry["name"].as_str(), Some(prompt.name));
        assert_eq!(entry["text"].as_str(), Some(prompt.text));
        assert_eq!(entry["licence"].as_str(), Some("CC0-1.0"));
        assert!(!entry["made"].as_str().unwrap().is_empty());
    }
    let bytes: usize = shipped::PROMPTS.iter().map(|prompt| prompt.audio.len()).sum();
    assert!(bytes < 1_000_000, "{bytes}");
}

#[test]
fn an_upload_hides_a_shipped_prompt_until_it_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(Some(folder.path()));
    let welcome = name("welcome");
    let count = library.list().unwrap().len();
    let info = library.put(&welcome, b"RIFF mine", WAV, 8000).unwrap();
    assert_eq!((info.origin, info.duration), (Origin::Uploaded, Some(Duration::from_secs(1))));
    let (info, audio) = library.get(&name("en/welcome")).unwrap();
    assert_eq!((info.origin, &audio[..], info.bytes), (Origin::Uploaded, &b"RIFF mine"[..], 9));
    assert_eq!(library.list().unwrap().len(), count);

    library.delete(&welcome).unwrap();
    assert_eq!(library.get(&welcome).unwrap().0.origin, Origin::Shipped);
    assert_eq!(library.delete(&welcome), Err(PromptError::Shipped(welcome)));
    assert_eq!(library.delete(&name("nothing")), Err(PromptError::NotFound(name("nothing"))));
    assert_eq!(library.get(&name("nothing")).unwrap_err(), PromptError::NotFound(name("nothing")));
}

#[test]
fn folders_replacement_and_files_put_there_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(Some(folder.path()));
    // A prompt and a folder may share a name.
    library.put(&name("a"), b"1", WAV, 1).unwrap();
    library.put(&name("a/b"), b"2", WAV, 1).unwrap();
    library.put(&name("a/b"), b"22", WAV, 1).unwrap();
    fs::write(folder.path().join("hand.mp3"), b"ID3 by hand").unwrap();
    fs::write(folder.path().join("a/b.wav"), b"hidden").unwrap();
    fs::write(folder.path().join("Ignored Name.wav"), b"x").unwrap();
    fs::write(folder.path().join("notes.txt"), b"x").unwrap();
    assert_eq!(&library.get(&name("a/b")).unwrap().1[..], b"22");
    assert_eq!(library.get(&name("hand")).unwrap().0.content_type, "audio/mpeg");
    let mine: Vec<(String, u64)> = library
        .list()
        .unwrap()
        .into_iter()
        .filter(|info| info.origin == Origin::Uploaded)
        .map(|info| (info.name.to_string(), info.bytes))
        .collect();
    assert_eq!(mine, [("a".to_owned(), 1), ("a/b".to_owned(), 2), ("hand".to_owned(), 11)]);
    library.delete(&name("a/b")).unwrap();
    assert!(library.get(&name("a/b")).is_err(), "both files of the name are gone");
    let left: Vec<_> = fs::read_dir(folder.path().join("a")).unwrap().collect();
    assert!(left.is_empty(), "no temporary file is left: {left:?}");
}

#[test]
fn the_library_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(Some(folder.path()));
    assert!(matches!(library.put(&name("x"), &[0; 101], WAV, 1), Err(PromptError::LibraryFull { .. })));
    library.put(&name("x"), &[0; 60], WAV, 1).unwrap();
    assert!(matches!(library.put(&name("y"), &[0; 60], WAV, 1), Err(PromptError::LibraryFull { .. })));
    // Replacing counts the new one only.
    library.put(&name("x"), &[0; 90], WAV, 1).unwrap();
    library.put(&name("y"), &[0; 1], WAV, 1).unwrap();
    library.put(&name("z"), &[0; 1], WAV, 1).unwrap();
    assert!(matches!(library.put(&name("w"), &[0; 1], WAV, 1), Err(PromptError::LibraryFull { .. })));
    library.put(&name("z"), &[0; 2], WAV, 1).unwrap();
}

#[test]
fn disk_trouble_is_told_plainly() {
    let error = library(None).put(&name("x"), b"1", WAV, 1).unwrap_err();
    assert!(error.to_string().contains("no data directory"), "{error}");
    let full = explain(&io::Error::from(io::ErrorKind::StorageFull));
    assert!(full.contains("full"), "{full}");
    // A file where the folder should be.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("prompts"), b"").unwrap();
    let library = library(Some(&folder.path().join("prompts")));
    assert!(matches!(library.put(&name("x"), b"1", WAV, 1), Err(PromptError::Storage { action: "stored", .. })));
    assert_eq!(library.get(&name("x")).unwrap_err(), PromptError::NotFound(name("x")));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing_behind() {
    // /dev/full refuses every write as a full disk does.
    let error = File::options().write(true).open("/dev/full").and_then(|mut file| file.write_all(b"x")).unwrap_err();
    let told = storage(&name("x"), "stored", &error).to_string();
    assert!(told.contains("the disk of the data directory is full"), "{told}");
}
