//! How texts are cut into words, for writing the index and for asking it: one way, here, whichever database keeps it. What
//! comes out is made of letters, digits and characters beyond ASCII, so that no database cuts or folds it again.
//!
//! A text is normalised (NFKD), what is written above, below or through letters is left away, case is folded, and what is left is
//! composed again. Words are runs of letters and digits. Scripts that write no spaces are cut into overlapping pairs. An
//! e-mail address is one word, and so is each of its ends: `ann.lee@example.com` is found by `ann`, `lee@exam` and `example`.

use std::collections::BTreeSet;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::{canonical_combining_class, decompose_compatible, is_combining_mark};

/// Characters of one word that count; what is longer is found by its beginning.
const WORD_CHARS: usize = 64;

/// Words of one question, at most: pairs count too.
const QUERY_WORDS: usize = 32;

/// The words of a text, as the index has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(BTreeSet<String>);

impl Words {
    /// All by which the text is to be found.
    pub fn of(text: &str) -> Self {
        let mut words = BTreeSet::new();
        cut(text, Purpose::Write, |word| {
            words.insert(word.iter().map(|letter| letter.char).collect());
        });
        Self(words)
    }

    /// Each of them once, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// The words that somebody looks for: each the beginning of one, and all of them have to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought(Vec<String>);

/// More words than a question may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyWords {
    /// How many it may have.
    pub most: usize,
}

impl Sought {
    /// The words of a question; none, if there is nothing in it that anything could be found by.
    ///
    /// # Errors
    /// If there are too many.
    pub fn of(question: &str) -> Result<Self, TooManyWords> {
        let mut words = BTreeSet::new();
        cut(question, Purpose::Ask, |word| {
            words.insert(word.iter().map(|letter| letter.char).collect::<String>());
        });
        let mut words: Vec<String> = words.into_iter().collect();
        // In this order a word stands right before those that begin with it: whoever has one of those has it.
        let mut place = 0;
        while place + 1 < words.len() {
            if words[place + 1].starts_with(&words[place]) {
                words.remove(place);
            } else {
                place += 1;
            }
        }
        if words.len() > QUERY_WORDS {
            return Err(TooManyWords { most: QUERY_WORDS });
        }
        Ok(Self(words))
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Where the text has them: ranges of its characters (Unicode scalar values), in order, none touching another.
    pub fn places(&self, text: &str) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = Vec::new();
        cut(text, Purpose::Write, |word| {
            for sought in &self.0 {
                let begins = word.iter().map(|letter| letter.char).zip(sought.chars());
                let (mut matched, mut is_it) = (0, true);
                for (ours, theirs) in begins {
                    is_it &= ours == theirs;
                    matched += 1;
                }
                if is_it && matched == sought.chars().count() {
                    places.push(word[0].from..word[matched - 1].until);
                }
            }
        });
        places.sort_by_key(|place| (place.start, place.end));
        let mut merged: Vec<Range<usize>> = Vec::new();
        for place in places {
            match merged.last_mut() {
                Some(last) if place.start <= last.end => last.end = last.end.max(place.end),
                _ => merged.push(place),
            }
        }
        merged
    }
}

/// The beginning of a word that no text has: what marks a document as an app's. Apps' ids are of any case, words of one.
pub(crate) fn of_app(app_id: &str) -> String {
    use std::fmt::Write as _;
    let mut word = String::from("\u{FF03}");
    for byte in app_id.bytes() {
        // Writing to memory does not fail.
        let _ = write!(word, "{byte:02x}");
    }
    // Its end, so that it is no beginning of another app's.
    word.push('\u{FF03}');
    word
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Write,
    Ask,
}

/// A character as it counts, and the characters of the text that it was made of.
#[derive(Debug, Clone, Copy)]
struct Letter {
    char: char,
    from: usize,
    until: usize,
    kind: Kind,
}

/// A character, folded and not composed yet.
struct Plain {
    char: char,
    from: usize,
    until: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of a word that has spaces around it.
    Word,
    /// The first of a character of a script that is cut into pairs.
    Paired,
    /// What belongs to the character before it, whatever that is.
    Mark,
    /// An apostrophe, which is no word's end.
    Apostrophe,
    /// What stands within e-mail addresses.
    OfAddress,
    /// All else.
    Between,
}

/// Calls `found` with each word of the text.
fn cut(text: &str, purpose: Purpose, mut found: impl FnMut(&[Letter])) {
    let letters = letters(text);
    let is_joined = |letter: &Letter| matches!(letter.kind, Kind::Word | Kind::Mark);
    let mut place = 0;
    while let Some(letter) = letters.get(place) {
        place = match letter.kind {
            Kind::Paired => pairs(&letters, place, purpose, &mut found),
            Kind::Word | Kind::OfAddress => match address(&letters, place) {
                Some(end) => {
                    joined(&letters[place..end], purpose, &mut found);
                    end
                }
                None if letter.kind == Kind::OfAddress => place + 1,
                None => {
                    let mut end = place + 1;
                    let goes_on = |end: usize| {
                        let next = |at: usize| letters.get(at).is_some_and(is_joined);
                        let is_within = letters.get(end).is_some_and(|l| l.kind == Kind::Apostrophe);
                        next(end) || (is_within && letters.get(end + 1).is_some_and(|l| l.kind == Kind::Word))
                    };
                    while goes_on(end) {
                        end += 1;
                    }
                    joined(&letters[place..end], purpose, &mut found);
                    end
                }
            },
            Kind::Mark | Kind::Apostrophe | Kind::Between => place + 1,
        };
    }
}

/// Where the e-mail address ends that begins here, if one does: words, joined by what stands in addresses, around one `@`.
fn address(letters: &[Letter], begin: usize) -> Option<usize> {
    if letters[begin].kind != Kind::Word {
        return None;
    }
    let is_part = |letter: &&Letter| {
        matches!(letter.kind, Kind::Word | Kind::Mark | Kind::OfAddress | Kind::Apostrophe)
    };
    let run = letters[begin..].iter().take_while(is_part).count();
    let run = &letters[begin..begin + run];
    let at = run.iter().position(|letter| letter.char == AT)?;
    // A second one begins no address of this one's.
    let end =
        run[at + 1..].iter().position(|letter| letter.char == AT).map_or(run.len(), |next| at + 1 + next);
    let last = run[..end].iter().rposition(|letter| matches!(letter.kind, Kind::Word | Kind::Mark))?;
    let is_between =
        run[at - 1].kind != Kind::Apostrophe && run.get(at + 1).is_some_and(|l| l.kind == Kind::Word);
    (last > at && is_between).then_some(begin + last + 1)
}

/// An address or a word with apostrophes: one word, and for who writes, each of its ends that begins with a letter.
fn joined(letters: &[Letter], purpose: Purpose, found: &mut impl FnMut(&[Letter])) {
    let mut is_begin = true;
    for place in 0..letters.len() {
        match letters[place].kind {
            Kind::Apostrophe | Kind::OfAddress => is_begin = true,
            Kind::Word | Kind::Paired if is_begin => {
                is_begin = false;
                let counts = |letter: &&Letter| letter.kind != Kind::Apostrophe;
                let word: Vec<Letter> =
                    letters[place..].iter().filter(counts).take(WORD_CHARS).copied().collect();
                found(&word);
                if purpose == Purpose::Ask {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// A run of a script without spaces: its characters two by two. A single one is found too: by a pair's beginning, or, since
/// the last one begins none, by itself. Returns where the run ends.
fn pairs(letters: &[Letter], begin: usize, purpose: Purpose, found: &mut impl FnMut(&[Letter])) -> usize {
    let is_of_run = |letter: &&Letter| matches!(letter.kind, Kind::Paired | Kind::Mark);
    let run = begin + letters[begin..].iter().take_while(is_of_run).count();
    let mut begins: Vec<usize> = (begin..run).filter(|place| letters[*place].kind == Kind::Paired).collect();
    begins.push(run);
    for place in 0..begins.len() - 1 {
        let end = begins.get(place + 2).copied().unwrap_or(run);
        let is_pair = place + 2 < begins.len();
        if is_pair || purpose == Purpose::Write || begins.len() == 2 {
            let end = end.min(begins[place] + WORD_CHARS);
            found(&letters[begins[place]..end]);
        }
    }
    run
}

/// Stands for `@`: the wide form of ASCII, which normalising never leaves.
const AT: char = wide('@');

const fn wide(char: char) -> char {
    match char::from_u32(char as u32 + 0xFEE0) {
        Some(wide) => wide,
        None => char,
    }
}

/// The text, folded.
fn letters(text: &str) -> Vec<Letter> {
    let mut plain: Vec<Plain> = Vec::with_capacity(text.len());
    for (place, char) in text.chars().enumerate() {
        decompose_compatible(char, |char| {
            if is_left_away(char) {
                // What is on a letter is a part of it where that is shown.
                if let Some(last) = plain.last_mut().filter(|_| is_combining_mark(char)) {
                    last.until = place + 1;
                }
                return;
            }
            for char in char.to_uppercase().flat_map(char::to_lowercase) {
                decompose_compatible(char, |char| {
                    if !is_left_away(char) {
                        fold_letter(char, |char| plain.push(Plain { char, from: place, until: place + 1 }));
                    }
                });
            }
        });
    }
    let mut letters = Vec::with_capacity(plain.len());
    let mut begin = 0;
    while begin < plain.len() {
        let is_more = |plain: &&Plain| goes_with_the_one_before(plain.char);
        let more = plain[begin + 1..].iter().take_while(is_more).count();
        let cluster = &mut plain[begin..begin + 1 + more];
        begin += 1 + more;
        if let [Plain { char, from, until }] = *cluster {
            letters.push(Letter { char, from, until, kind: kind_of(char) });
            continue;
        }
        // As normalising orders them, whatever came out of which character.
        cluster[1..].sort_by_key(|plain| canonical_combining_class(plain.char));
        let from = cluster.iter().map(|plain| plain.from).min().unwrap_or_default();
        let until = cluster.iter().map(|plain| plain.until).max().unwrap_or_default();
        for char in cluster.iter().map(|plain| plain.char).nfc() {
            letters.push(Letter { char, from, until, kind: kind_of(char) });
        }
    }
    for letter in &mut letters {
        if letter.kind == Kind::OfAddress {
            letter.char = wide(letter.char);
        }
    }
    letters
}

/// What is no part of a word's identity: what stands above, below or through letters, and what can't be seen.
fn is_left_away(char: char) -> bool {
    let is_unseen = matches!(char,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{640}' | '\u{180B}'..='\u{180F}' | '\u{200C}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
        | '\u{E0000}'..='\u{E0FFF}');
    // Those that enclose what they are with.
    let encloses = matches!(char, '\u{488}' | '\u{489}' | '\u{20D0}'..='\u{20FF}' | '\u{A670}'..='\u{A672}');
    // Vowels and voicing marks of scripts in which those are letters have other classes.
    is_unseen || encloses || matches!(canonical_combining_class(char), 1 | 10..=36 | 200..=240)
}

/// Letters that Unicode does not take apart, and people leave the stroke of away.
fn fold_letter(char: char, mut give: impl FnMut(char)) {
    match char {
        'ø' => give('o'),
        'đ' => give('d'),
        'ł' => give('l'),
        'ħ' => give('h'),
        'ŧ' => give('t'),
        'æ' => ['a', 'e'].into_iter().for_each(give),
        'œ' => ['o', 'e'].into_iter().for_each(give),
        _ => give(char),
    }
}

/// Whether it can be composed with what stands before it.
fn goes_with_the_one_before(char: char) -> bool {
    is_combining_mark(char) || matches!(char, '\u{1160}'..='\u{11FF}' | '\u{D7B0}'..='\u{D7FF}')
}

fn kind_of(char: char) -> Kind {
    match char {
        'a'..='z' | '0'..='9' => Kind::Word,
        '\'' | '\u{2019}' | '\u{2BC}' => Kind::Apostrophe,
        '@' | '.' | '-' | '_' | '+' => Kind::OfAddress,
        _ if char.is_ascii() => Kind::Between,
        _ if is_combining_mark(char) => Kind::Mark,
        _ if is_paired(char) => Kind::Paired,
        _ if char.is_alphanumeric() => Kind::Word,
        _ => Kind::Between,
    }
}

/// Letters of scripts that write no spaces between words, or whose words grow at their ends: Chinese, Japanese, Korean, Thai,
/// Lao, Burmese, Khmer.
fn is_paired(char: char) -> bool {
    matches!(char,
        '\u{E01}'..='\u{E2E}' | '\u{E30}'..='\u{E4E}' | '\u{E80}'..='\u{ECF}' | '\u{EDC}'..='\u{EDF}'
        | '\u{1000}'..='\u{103F}' | '\u{1050}'..='\u{108F}' | '\u{1100}'..='\u{11FF}'
        | '\u{1780}'..='\u{17D3}' | '\u{2E80}'..='\u{2FDF}' | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}'
        | '\u{3038}'..='\u{303C}' | '\u{3041}'..='\u{3096}' | '\u{309D}'..='\u{309F}' | '\u{30A1}'..='\u{30FA}'
        | '\u{30FC}'..='\u{30FF}' | '\u{3105}'..='\u{312F}' | '\u{3131}'..='\u{318E}' | '\u{31A0}'..='\u{31BF}'
        | '\u{31F0}'..='\u{31FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{A960}'..='\u{A97F}'
        | '\u{AC00}'..='\u{D7FF}' | '\u{F900}'..='\u{FAFF}' | '\u{1B000}'..='\u{1B16F}'
        | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> String {
        Words::of(text).iter().collect::<Vec<_>>().join(" ")
    }

    fn finds(question: &str, text: &str) -> bool {
        let sought = Sought::of(question).unwrap();
        let words = Words::of(text);
        let is_there = |sought: &str| words.iter().any(|word| word.starts_with(sought));
        let found = !sought.is_empty() && sought.iter().all(is_there);
        if found {
            assert!(!sought.places(text).is_empty(), "{question:?} is found in {text:?}, and nowhere");
        }
        found
    }

    #[test]
    fn words_are_of_one_case_and_without_marks() {
        for (text, expected) in [
            ("Où est l’Été ?", "est ete lete ou"),
            ("Straße STRASSE", "strasse"),
            ("ΟΔΟΣ οδός ὈΔΌΣ", "οδοσ"),
            ("İSTANBUL ıstanbul Istanbul istanbul", "istanbul"),
            ("ﬁne ＡＢＣ１２３ ①", "1 abc123 fine"),
            ("Łódź Øre Ærø Đakovo", "aero dakovo lodz ore"),
            ("Ёлка ёлка", "елка"),
            ("don't DON’T", "dont t"),
            ("зеле\u{301}ный", "зеленыи"),
            ("soft\u{AD}hyphen \u{202E}bidi\u{202C} zero\u{200D}joined", "bidi softhyphen zerojoined"),
            ("שָׁלוֹם مَرْحَبًا", "שלום مرحبا"),
            ("1\u{FE0F}\u{20E3} \u{1F600} -- ?! \0", "1"),
            ("snake_case v1.2-rc_3 a,b", "2 3 a b case rc snake v1"),
        ] {
            assert_eq!(words(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_address_is_found_by_any_of_its_parts() {
        let text = "Write to <Ann.Chrager+shop@Mail.Example.com>, or call";
        for question in [
            "ann",
            "chrager",
            "CHRAG",
            "shop",
            "example.com",
            "mail.example",
            "com",
            "ann.chrager+shop@mail.example.com",
            "chrager+shop@mail.ex",
            "shop@mail",
            "@mail.example.com",
            "ann.chrager",
            "write example",
            "Ann Chrager",
        ] {
            assert!(finds(question, text), "{question}");
        }
        for question in ["chrager@mail", "hrager", "xample", "ann@example.com", "shop@example", "chrager bob"]
        {
            assert!(!finds(question, text), "{question}");
        }
        assert!(finds("ann@example.com", "a.ann@example.com."));
        assert!(finds("ann@example.com", "请联系ann@example.com谢谢"));
        for odd in ["@", "a@", "@b", "a@@b", "a@b@c", ".@.", "a.@b", "a@.b", "a'@b", "'@'", "-a@b-"] {
            let _ = (words(odd), Sought::of(odd).unwrap().places(odd));
        }
    }

    #[test]
    fn scripts_without_spaces_are_found_by_one_character_and_by_more() {
        assert_eq!(words("東京都"), "京都 東京 都");
        for (text, found, not_found) in [
            ("我想退款，谢谢", vec!["退款", "退", "款", "谢谢", "想退款", "我"], vec!["退谢", "钱"]),
            ("カメラを買いました", vec!["カメラ", "ｶﾒﾗ", "買い", "した", "た"], vec!["カラ", "かめら"]),
            ("ｶﾞﾗｽ", vec!["ガラス", "ガ"], vec!["カラス"]),
            ("배송이 늦어요", vec!["배송", "송", "늦어", "요"], vec!["배이", "ㅂ"]),
            ("第3章iPhone手机", vec!["iphone", "手机", "第3章", "3"], vec!["机手"]),
            ("สวัสดีครับ ที่นี่", vec!["สวัสดี", "ครับ", "ที่นี่"], vec!["กขค"]),
        ] {
            for question in found {
                assert!(finds(question, text), "{question} in {text}");
            }
            for question in not_found {
                assert!(!finds(question, text), "{question} in {text}");
            }
        }
    }

    #[test]
    fn what_matches_is_told_by_the_characters_of_the_text() {
        let places = |question: &str, text: &str| {
            let chars: Vec<char> = text.chars().collect();
            let places = Sought::of(question).unwrap().places(text);
            places.into_iter().map(|place| chars[place].iter().collect::<String>()).collect::<Vec<_>>()
        };
        assert_eq!(places("ete", "L’\u{1F600} E\u{301}te\u{301} été"), ["E\u{301}te\u{301}", "été"]);
        assert_eq!(places("stras", "Straße"), ["Straß"]);
        assert_eq!(places("example", "ann@example.com"), ["example"]);
        assert_eq!(places("京都", "東京都"), ["京都"]);
        assert_eq!(places("ref", "Refund, refunds"), ["Ref", "ref"]);
        assert_eq!(places("nothing", "of this"), Vec::<String>::new());
    }

    #[test]
    fn a_question_has_its_limit_and_may_be_nonsense() {
        for nothing in
            ["", " ", "*", "\"", "NEAR(", "&|!()<->", "\0", "\u{202E}", "\u{1F600}", "'--", "@.+_-"]
        {
            let sought = Sought::of(nothing).unwrap();
            assert_eq!(sought.is_empty(), nothing != "NEAR(", "{nothing:?}");
        }
        assert_eq!(Sought::of("a ab abc a").unwrap().0, ["abc"]);
        let many: Vec<String> = (0..50).map(|n| format!("w{}{n}", char::from(b'a' + n % 26))).collect();
        assert_eq!(Sought::of(&many.join(" ")), Err(TooManyWords { most: QUERY_WORDS }));
        let long = "x".repeat(10_000);
        assert!(finds(&long, &long));
    }

    /// Texts of many scripts, and of what stands between and on letters.
    fn text() -> impl Strategy<Value = String> {
        let char = prop_oneof![
            4 => prop::char::range('\u{20}', '\u{7E}'),
            3 => prop::char::range('\u{A0}', '\u{24F}'),
            2 => prop::char::range('\u{300}', '\u{36F}'),
            2 => prop::char::range('\u{391}', '\u{45F}'),
            1 => prop::char::range('\u{5B0}', '\u{652}'),
            1 => prop::char::range('\u{900}', '\u{97F}'),
            2 => prop::char::range('\u{E01}', '\u{E4E}'),
            1 => prop::char::range('\u{1100}', '\u{11FF}'),
            2 => prop::char::range('\u{3041}', '\u{30FF}'),
            2 => prop::char::range('\u{4E00}', '\u{4E40}'),
            2 => prop::char::range('\u{AC00}', '\u{ACFF}'),
            1 => prop::char::range('\u{FF00}', '\u{FFEF}'),
            1 => any::<char>(),
        ];
        prop::collection::vec(char, 0..24).prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn the_words_are_the_same_in_whatever_form_a_text_is_written(text in text()) {
            let expected = Words::of(&text);
            for form in [text.nfc().collect::<String>(), text.nfd().collect(), text.nfkc().collect(), text.nfkd().collect()] {
                prop_assert_eq!(&Words::of(&form), &expected, "{:?} as {:?}", text, form);
            }
        }

        #[test]
        fn the_words_are_the_same_in_whatever_case_a_text_is_written(text in text()) {
            // One mark is a letter in capitals, and what is unseen between it and its letter is no matter of case.
            prop_assume!(!text.nfd().any(|char| char == '\u{345}'));
            let expected = Words::of(&text);
            for form in [text.to_uppercase(), text.to_lowercase()] {
                prop_assert_eq!(&Words::of(&form), &expected, "{:?} as {:?}", text, form);
            }
        }

        #[test]
        fn a_text_is_found_by_itself_and_by_the_beginnings_of_its_words(text in text(), cut in 1_usize..6) {
            if let Ok(sought) = Sought::of(&text) {
                prop_assert!(sought.is_empty() || finds(&text, &text));
            }
            for word in text.split(|char: char| !char.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
                if text.is_ascii() && !text.contains('\'') {
                    let begin: String = word.chars().take(cut).collect();
                    prop_assert!(finds(&begin, &text), "{:?} in {:?}", begin, text);
                }
            }
        }

        #[test]
        fn a_word_has_nothing_that_a_database_would_cut_or_fold(text in text()) {
            let sought = Sought::of(&text).map(|sought| sought.0).unwrap_or_default();
            for word in Words::of(&text).iter().map(str::to_owned).chain(sought) {
                prop_assert!(!word.is_empty() && word.chars().count() <= WORD_CHARS);
                prop_assert!(word.chars().all(|char| !char.is_ascii() || char.is_ascii_lowercase() || char.is_ascii_digit()), "{word:?}");
            }
        }
    }
}
