//! The prompts that ship in the binary, by name. Made by `prompts/make.sh`; edit that instead.
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
    Shipped { name: "all-agents-busy", text: "All of our agents are busy. Please stay on the line.", samples: 28612, audio: include_bytes!("../../prompts/en/all-agents-busy.wav") },
    Shipped { name: "beep", text: "(a beep: 1000 Hz, 300 ms)", samples: 2400, audio: include_bytes!("../../prompts/en/beep.wav") },
    Shipped { name: "call-recorded", text: "This call may be recorded.", samples: 13371, audio: include_bytes!("../../prompts/en/call-recorded.wav") },
    Shipped { name: "connecting", text: "Connecting you now.", samples: 9665, audio: include_bytes!("../../prompts/en/connecting.wav") },
    Shipped { name: "demo-menu", text: "Welcome to Strowger. For sales, press 1. For support, press 2. To speak with an operator, press 0.", samples: 69458, audio: include_bytes!("../../prompts/en/demo-menu.wav") },
    Shipped { name: "digits/0", text: "zero", samples: 4157, audio: include_bytes!("../../prompts/en/digits/0.wav") },
    Shipped { name: "digits/1", text: "one", samples: 3876, audio: include_bytes!("../../prompts/en/digits/1.wav") },
    Shipped { name: "digits/2", text: "two", samples: 3027, audio: include_bytes!("../../prompts/en/digits/2.wav") },
    Shipped { name: "digits/3", text: "three", samples: 3400, audio: include_bytes!("../../prompts/en/digits/3.wav") },
    Shipped { name: "digits/4", text: "four", samples: 3997, audio: include_bytes!("../../prompts/en/digits/4.wav") },
    Shipped { name: "digits/5", text: "five", samples: 4230, audio: include_bytes!("../../prompts/en/digits/5.wav") },
    Shipped { name: "digits/6", text: "six", samples: 4246, audio: include_bytes!("../../prompts/en/digits/6.wav") },
    Shipped { name: "digits/7", text: "seven", samples: 4620, audio: include_bytes!("../../prompts/en/digits/7.wav") },
    Shipped { name: "digits/8", text: "eight", samples: 3119, audio: include_bytes!("../../prompts/en/digits/8.wav") },
    Shipped { name: "digits/9", text: "nine", samples: 4571, audio: include_bytes!("../../prompts/en/digits/9.wav") },
    Shipped { name: "digits/hash", text: "hash", samples: 3881, audio: include_bytes!("../../prompts/en/digits/hash.wav") },
    Shipped { name: "digits/pound", text: "pound", samples: 4052, audio: include_bytes!("../../prompts/en/digits/pound.wav") },
    Shipped { name: "digits/star", text: "star", samples: 4314, audio: include_bytes!("../../prompts/en/digits/star.wav") },
    Shipped { name: "followed-by-pound", text: "followed by the pound key.", samples: 12545, audio: include_bytes!("../../prompts/en/followed-by-pound.wav") },
    Shipped { name: "for", text: "for", samples: 3834, audio: include_bytes!("../../prompts/en/for.wav") },
    Shipped { name: "goodbye", text: "Goodbye.", samples: 5354, audio: include_bytes!("../../prompts/en/goodbye.wav") },
    Shipped { name: "invalid-entry", text: "That was not a valid entry.", samples: 13192, audio: include_bytes!("../../prompts/en/invalid-entry.wav") },
    Shipped { name: "is-that-correct-press-1-for-yes-2-for-no", text: "Is that correct? Press 1 for yes, or 2 for no.", samples: 31640, audio: include_bytes!("../../prompts/en/is-that-correct-press-1-for-yes-2-for-no.wav") },
    Shipped { name: "leave-a-message", text: "Please leave a message after the tone.", samples: 17197, audio: include_bytes!("../../prompts/en/leave-a-message.wav") },
    Shipped { name: "letters/a", text: "a", samples: 3020, audio: include_bytes!("../../prompts/en/letters/a.wav") },
    Shipped { name: "letters/b", text: "b", samples: 3204, audio: include_bytes!("../../prompts/en/letters/b.wav") },
    Shipped { name: "letters/c", text: "c", samples: 3338, audio: include_bytes!("../../prompts/en/letters/c.wav") },
    Shipped { name: "letters/d", text: "d", samples: 2841, audio: include_bytes!("../../prompts/en/letters/d.wav") },
    Shipped { name: "letters/e", text: "e", samples: 2672, audio: include_bytes!("../../prompts/en/letters/e.wav") },
    Shipped { name: "letters/f", text: "f", samples: 2733, audio: include_bytes!("../../prompts/en/letters/f.wav") },
    Shipped { name: "letters/g", text: "g", samples: 3015, audio: include_bytes!("../../prompts/en/letters/g.wav") },
    Shipped { name: "letters/h", text: "h", samples: 3513, audio: include_bytes!("../../prompts/en/letters/h.wav") },
    Shipped { name: "letters/i", text: "i", samples: 3279, audio: include_bytes!("../../prompts/en/letters/i.wav") },
    Shipped { name: "letters/j", text: "j", samples: 3409, audio: include_bytes!("../../prompts/en/letters/j.wav") },
    Shipped { name: "letters/k", text: "k", samples: 3396, audio: include_bytes!("../../prompts/en/letters/k.wav") },
    Shipped { name: "letters/l", text: "l", samples: 3271, audio: include_bytes!("../../prompts/en/letters/l.wav") },
    Shipped { name: "letters/m", text: "m", samples: 3539, audio: include_bytes!("../../prompts/en/letters/m.wav") },
    Shipped { name: "letters/n", text: "n", samples: 3447, audio: include_bytes!("../../prompts/en/letters/n.wav") },
    Shipped { name: "letters/o", text: "o", samples: 3162, audio: include_bytes!("../../prompts/en/letters/o.wav") },
    Shipped { name: "letters/p", text: "p", samples: 2873, audio: include_bytes!("../../prompts/en/letters/p.wav") },
    Shipped { name: "letters/q", text: "q", samples: 3658, audio: include_bytes!("../../prompts/en/letters/q.wav") },
    Shipped { name: "letters/r", text: "r", samples: 3443, audio: include_bytes!("../../prompts/en/letters/r.wav") },
    Shipped { name: "letters/s", text: "s", samples: 3210, audio: include_bytes!("../../prompts/en/letters/s.wav") },
    Shipped { name: "letters/t", text: "t", samples: 2924, audio: include_bytes!("../../prompts/en/letters/t.wav") },
    Shipped { name: "letters/u", text: "u", samples: 3396, audio: include_bytes!("../../prompts/en/letters/u.wav") },
    Shipped { name: "letters/v", text: "v", samples: 3708, audio: include_bytes!("../../prompts/en/letters/v.wav") },
    Shipped { name: "letters/w", text: "w", samples: 4512, audio: include_bytes!("../../prompts/en/letters/w.wav") },
    Shipped { name: "letters/x", text: "x", samples: 3878, audio: include_bytes!("../../prompts/en/letters/x.wav") },
    Shipped { name: "letters/y", text: "y", samples: 4000, audio: include_bytes!("../../prompts/en/letters/y.wav") },
    Shipped { name: "letters/z", text: "z", samples: 3636, audio: include_bytes!("../../prompts/en/letters/z.wav") },
    Shipped { name: "main-menu", text: "Main menu.", samples: 7079, audio: include_bytes!("../../prompts/en/main-menu.wav") },
    Shipped { name: "nobody-available", text: "Sorry, nobody is available to take your call.", samples: 24062, audio: include_bytes!("../../prompts/en/nobody-available.wav") },
    Shipped { name: "nothing-heard", text: "Sorry, we did not receive your choice.", samples: 18838, audio: include_bytes!("../../prompts/en/nothing-heard.wav") },
    Shipped { name: "office-closed", text: "Our office is closed at the moment.", samples: 17590, audio: include_bytes!("../../prompts/en/office-closed.wav") },
    Shipped { name: "or", text: "or", samples: 3214, audio: include_bytes!("../../prompts/en/or.wav") },
    Shipped { name: "please-enter-the-extension", text: "Please enter the extension of the person you wish to reach.", samples: 25424, audio: include_bytes!("../../prompts/en/please-enter-the-extension.wav") },
    Shipped { name: "please-enter-your-account-number", text: "Please enter your account number.", samples: 15441, audio: include_bytes!("../../prompts/en/please-enter-your-account-number.wav") },
    Shipped { name: "please-enter-your-number", text: "Please enter your number.", samples: 11634, audio: include_bytes!("../../prompts/en/please-enter-your-number.wav") },
    Shipped { name: "please-enter-your-pin", text: "Please enter your PIN.", samples: 12341, audio: include_bytes!("../../prompts/en/please-enter-your-pin.wav") },
    Shipped { name: "please-hold", text: "Please hold.", samples: 7137, audio: include_bytes!("../../prompts/en/please-hold.wav") },
    Shipped { name: "please-hold-while-we-connect-you", text: "Please hold while we connect your call.", samples: 19356, audio: include_bytes!("../../prompts/en/please-hold-while-we-connect-you.wav") },
    Shipped { name: "please-try-again", text: "Please try again.", samples: 9896, audio: include_bytes!("../../prompts/en/please-try-again.wav") },
    Shipped { name: "press", text: "Press", samples: 3796, audio: include_bytes!("../../prompts/en/press.wav") },
    Shipped { name: "press-0-for-operator", text: "To speak with an operator, press 0.", samples: 20296, audio: include_bytes!("../../prompts/en/press-0-for-operator.wav") },
    Shipped { name: "press-1-for-yes-2-for-no", text: "Press 1 for yes, or 2 for no.", samples: 20006, audio: include_bytes!("../../prompts/en/press-1-for-yes-2-for-no.wav") },
    Shipped { name: "press-pound-when-finished", text: "When you have finished, press the pound key.", samples: 21138, audio: include_bytes!("../../prompts/en/press-pound-when-finished.wav") },
    Shipped { name: "press-star-to-repeat", text: "To hear this again, press star.", samples: 18108, audio: include_bytes!("../../prompts/en/press-star-to-repeat.wav") },
    Shipped { name: "ringback", text: "(ringback tone: 440 and 480 Hz, 2 s on, 4 s off)", samples: 48000, audio: include_bytes!("../../prompts/en/ringback.wav") },
    Shipped { name: "silence/100ms", text: "(silence, 100 ms)", samples: 800, audio: include_bytes!("../../prompts/en/silence/100ms.wav") },
    Shipped { name: "silence/1s", text: "(silence, 1 s)", samples: 8000, audio: include_bytes!("../../prompts/en/silence/1s.wav") },
    Shipped { name: "silence/500ms", text: "(silence, 500 ms)", samples: 4000, audio: include_bytes!("../../prompts/en/silence/500ms.wav") },
    Shipped { name: "technical-difficulties", text: "We are having technical difficulties. Please call again later.", samples: 33746, audio: include_bytes!("../../prompts/en/technical-difficulties.wav") },
    Shipped { name: "thank-you", text: "Thank you.", samples: 5562, audio: include_bytes!("../../prompts/en/thank-you.wav") },
    Shipped { name: "thank-you-for-calling", text: "Thank you for calling.", samples: 10547, audio: include_bytes!("../../prompts/en/thank-you-for-calling.wav") },
    Shipped { name: "too-many-attempts", text: "Sorry, there were too many attempts.", samples: 18625, audio: include_bytes!("../../prompts/en/too-many-attempts.wav") },
    Shipped { name: "transferring", text: "Your call is being transferred.", samples: 14778, audio: include_bytes!("../../prompts/en/transferring.wav") },
    Shipped { name: "welcome", text: "Welcome.", samples: 5343, audio: include_bytes!("../../prompts/en/welcome.wav") },
    Shipped { name: "you-entered", text: "You entered", samples: 5530, audio: include_bytes!("../../prompts/en/you-entered.wav") },
];
