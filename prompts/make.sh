#!/bin/sh
# Makes the English prompts, their manifest and the Rust table that puts them into the binary.
# Needs espeak-ng, sox and python3. Run it from anywhere; what it makes is committed, so a build does not need it.
set -eu
cd "$(dirname "$0")"
exec python3 - "$@" <<'PYTHON'
import math, os, shutil, struct, subprocess, sys, tempfile

RATE = 8000
VOICE = ["espeak-ng", "-v", "en-us", "-s", "150", "-p", "42", "-a", "100"]
SPEECH = "eSpeak NG 1.51, voice en-us, speed 150, pitch 42; SoX: trimmed, 3.4 kHz low-pass, levelled, 8 kHz mu-law"

LETTERS = {"a": "[[eI]]", "z": "zee"}
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

# name -> (text, what is given to the synthesiser where it differs)
prompts = {}
for digit, word in enumerate(WORDS):
    prompts[f"digits/{digit}"] = (word, word)
prompts["digits/star"] = ("star", "star")
prompts["digits/pound"] = ("pound", "pound")
prompts["digits/hash"] = ("hash", "hash")
for letter in "abcdefghijklmnopqrstuvwxyz":
    prompts[f"letters/{letter}"] = (letter, LETTERS.get(letter, letter))
for name, text in {
    "welcome": "Welcome.",
    "thank-you-for-calling": "Thank you for calling.",
    "main-menu": "Main menu.",
    "press": "Press",
    "for": "for",
    "or": "or",
    "demo-menu": "Welcome to Strowger. For sales, press 1. For support, press 2. To speak with an operator, press 0.",
    "press-1-for-yes-2-for-no": "Press 1 for yes, or 2 for no.",
    "press-0-for-operator": "To speak with an operator, press 0.",
    "press-star-to-repeat": "To hear this again, press star.",
    "press-pound-when-finished": "When you have finished, press the pound key.",
    "please-enter-your-number": "Please enter your number.",
    "please-enter-your-account-number": "Please enter your account number.",
    "please-enter-your-pin": "Please enter your PIN.",
    "please-enter-the-extension": "Please enter the extension of the person you wish to reach.",
    "followed-by-pound": "followed by the pound key.",
    "you-entered": "You entered",
    "is-that-correct-press-1-for-yes-2-for-no": "Is that correct? Press 1 for yes, or 2 for no.",
    "invalid-entry": "That was not a valid entry.",
    "nothing-heard": "Sorry, we did not receive your choice.",
    "please-try-again": "Please try again.",
    "too-many-attempts": "Sorry, there were too many attempts.",
    "thank-you": "Thank you.",
    "goodbye": "Goodbye.",
    "please-hold": "Please hold.",
    "please-hold-while-we-connect-you": "Please hold while we connect your call.",
    "connecting": "Connecting you now.",
    "transferring": "Your call is being transferred.",
    "nobody-available": "Sorry, nobody is available to take your call.",
    "all-agents-busy": "All of our agents are busy. Please stay on the line.",
    "office-closed": "Our office is closed at the moment.",
    "leave-a-message": "Please leave a message after the tone.",
    "call-recorded": "This call may be recorded.",
    "technical-difficulties": "We are having technical difficulties. Please call again later.",
}.items():
    prompts[name] = (text, text)


def run(*command):
    subprocess.run(command, check=True)


def samples(path):
    raw = subprocess.run(["sox", path, "-t", "raw", "-r", str(RATE), "-e", "signed", "-b", "16", "-c", "1", "-"],
                         check=True, capture_output=True).stdout
    return struct.unpack(f"<{len(raw) // 2}h", raw)


def loud_rms(values):
    """RMS in dBFS over the 20 ms frames within 25 dB of the loudest: the level of the speech, not of its pauses."""
    frames = [values[i:i + 160] for i in range(0, len(values) - 159, 160)] or [values]
    powers = [sum(v * v for v in f) / len(f) / 32768.0 ** 2 for f in frames]
    top = max(powers)
    loud = [p for p in powers if p > top * 10 ** -2.5]
    return 10 * math.log10(sum(loud) / len(loud))


def speak(spoken, target, folder):
    said, cut = os.path.join(folder, "said.wav"), os.path.join(folder, "cut.wav")
    run(*VOICE, "-w", said, spoken)
    edge = ["silence", "1", "0.005", "0.4%"]
    run("sox", said, "-r", str(RATE), "-c", "1", "-b", "16", cut, "gain", "-6", *edge, "reverse", *edge, "reverse",
        "highpass", "120", "sinc", "-3500", "pad", "0.02", "0.04")
    # Towards -16 dBFS, with the peaks held under -3.5 dBFS by a compressor with a short attack.
    level, gain = cut, 0.0
    for _ in range(4):
        gain += -16.0 - loud_rms(samples(level))
        level = os.path.join(folder, "level.wav")
        run("sox", cut, "-b", "16", level, "gain", "-l", f"{gain + 3.5:.2f}", "gain", "-3.5")
    run("sox", "-D", level, "-e", "mu-law", "-b", "8", "-r", str(RATE), "-c", "1", target)


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


made = []
shutil.rmtree("en", ignore_errors=True)
with tempfile.TemporaryDirectory() as folder:
    for name, (text, spoken) in prompts.items():
        target = f"en/{name}.wav"
        os.makedirs(os.path.dirname(target), exist_ok=True)
        speak(spoken, target, folder)
        made.append((name, text, SPEECH))

    def tone(name, text, *effects):
        target = f"en/{name}.wav"
        os.makedirs(os.path.dirname(target), exist_ok=True)
        run("sox", "-D", "-R", "-n", "-r", str(RATE), "-c", "1", "-e", "mu-law", "-b", "8", target, *effects)
        made.append((name, text, "SoX synth, 8 kHz mu-law"))

    tone("silence/100ms", "(silence, 100 ms)", "trim", "0", "0.1")
    tone("silence/500ms", "(silence, 500 ms)", "trim", "0", "0.5")
    tone("silence/1s", "(silence, 1 s)", "trim", "0", "1")
    tone("beep", "(a beep: 1000 Hz, 300 ms)", "synth", "0.3", "sine", "1000", "fade", "0.01", "0.3", "0.01", "gain", "-13")
    tone("ringback", "(ringback tone: 440 and 480 Hz, 2 s on, 4 s off)",
         "synth", "2", "sine", "440", "sine", "480", "remix", "1,2", "gain", "-16", "pad", "0", "4")

made.sort()
with open("manifest.toml", "w") as out:
    out.write("# Made by make.sh; edit that instead.\n")
    out.write("# The audio was synthesised by eSpeak NG and SoX and is dedicated to the public domain (CC0-1.0).\n\n")
    for name, text, how in made:
        out.write(f"[[prompt]]\nname = {quote(name)}\nfile = {quote('en/' + name + '.wav')}\nlanguage = \"en-US\"\n"
                  f"text = {quote(text)}\nmade = {quote(how)}\nlicence = \"CC0-1.0\"\n\n")

total = 0
with open("../src/prompt/shipped.rs", "w") as out:
    out.write("""//! The prompts that ship in the binary, by name. Made by `prompts/make.sh`; edit that instead.
//! Texts and licence are in `prompts/manifest.toml`. Looking up a name is all that happens here.

/// A prompt in the binary: 8 kHz mono µ-law in a WAV file.
pub(super) struct Shipped {
    /// Its name without the language: `digits/1`.
    pub name: &'static str,
    /// What is said in it; in parentheses where nothing is said.
    pub text: &'static str,
    /// Its length in samples at 8 kHz.
    pub samples: usize,
    /// The file.
    pub audio: &'static [u8],
}

/// The shipped prompt of that name.
pub(super) fn find(name: &str) -> Option<&'static Shipped> {
    PROMPTS.binary_search_by(|prompt| prompt.name.cmp(name)).ok().and_then(|at| PROMPTS.get(at))
}

/// All of them, sorted by name.
#[rustfmt::skip]
pub(super) static PROMPTS: &[Shipped] = &[
""")
    for name, text, _ in made:
        target = f"en/{name}.wav"
        total += os.path.getsize(target)
        out.write(f"    Shipped {{ name: {quote(name)}, text: {quote(text)}, samples: {len(samples(target))}, "
                  f"audio: include_bytes!(\"../../prompts/{target}\") }},\n")
    out.write("];\n")
print(f"{len(made)} prompts, {total} bytes")
PYTHON
