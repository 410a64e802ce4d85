//! The search of the agents: what is asked, and what is shown of what was found.

use std::ops::Range;

use protocol::limits::{Action, SEARCH_CHARS, SNIPPET_CHARS};
use protocol::rest::{FoundMessage, FoundNote, SearchKind, SearchPage, SearchResult, Snippet, SnippetRange};
use protocol::{AgentId, AppId, ConversationStatus, Failure, Permission};
use store::{Hit, HitWhat, RebuildSearch, Scope, Search, Sought};

use crate::{Agent, Chat, Page, Principal};

/// Characters of a snippet before what was found first.
const BEFORE: usize = 40;

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asking<'a> {
    /// The words, as somebody has written them.
    pub words: &'a str,
    /// Only in conversations with this status.
    pub status: Option<ConversationStatus>,
    /// Only in conversations that are with this agent.
    pub assignee_id: Option<AgentId>,
    /// Behind the page that had this cursor.
    pub after: Option<&'a str>,
}

impl Chat {
    /// What has all of the words, newest first. Nothing, if there are none in it.
    ///
    /// # Errors
    /// `FORBIDDEN`, `VALIDATION_ERROR` for too many words, or a cursor that is none of ours, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn search(&self, agent: &Agent, asking: Asking<'_>, page: Page) -> Result<SearchPage, Failure> {
        agent.require(Permission::ViewConversations)?;
        let sought = sought(asking.words)?;
        let cursor =
            |text: &str| text.parse().map_err(|_| Failure::invalid("after is not a cursor of this list"));
        let after = asking.after.filter(|cursor| !cursor.is_empty()).map(cursor).transpose()?;
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        let scope = Scope { app_id: agent.app_id.clone(), device_id: None };
        let Asking { status, assignee_id, .. } = asking;
        let limit = page.rows();
        let search = Search { scope, sought: sought.clone(), status, assignee_id, after, limit };
        let found = self.read(search).await?;
        let places: Vec<i64> = found.hits.iter().map(|hit| hit.place).collect();
        let mut results: Vec<_> = found.hits.into_iter().map(|hit| result(hit, &sought)).collect();
        let devices: Vec<_> =
            results.iter().map(|result| result.conversation.conversation.device_id.clone()).collect();
        let counts = self.cluster.registry.connections_of(&agent.app_id, &devices).await;
        for (result, count) in results.iter_mut().zip(counts) {
            result.conversation.is_online = Some(count > 0);
        }
        let (results, is_cut) = page.cut(results);
        let last = results.len().checked_sub(1).and_then(|last| places.get(last)).copied();
        let next = if is_cut { last } else { found.next };
        Ok(SearchPage {
            results,
            has_more: next.is_some(),
            next_cursor: next.map(|place| place.to_string()),
            is_complete: found.is_complete,
        })
    }

    /// Asks for the search index of an app, or of all, to be made anew: whoever serves does it. `None` if there is no such app.
    ///
    /// # Errors
    /// `SERVER_ERROR`.
    pub async fn rebuild_search(&self, app_id: Option<AppId>) -> Result<Option<()>, Failure> {
        let is_asked = self.write(RebuildSearch { app_id }).await?;
        Ok(is_asked.then_some(()))
    }
}

fn sought(words: &str) -> Result<Sought, Failure> {
    if words.chars().count() > SEARCH_CHARS {
        return Err(Failure::invalid(format!("q has more than {SEARCH_CHARS} characters")));
    }
    Sought::of(words).map_err(|too_many| {
        let most = too_many.most;
        Failure::invalid(format!(
            "q has more than {most} words; in scripts without spaces two characters are one"
        ))
    })
}

fn result(hit: Hit, sought: &Sought) -> SearchResult {
    let (mut message, mut note) = (None, None);
    let (kind, text) = match hit.what {
        HitWhat::Message(found) => {
            message = Some(FoundMessage {
                id: found.id,
                seq: found.seq,
                sender: found.sender,
                sender_name: found.sender_name,
                created_at: found.created_at,
            });
            (SearchKind::Message, found.body)
        }
        HitWhat::Note(found) => {
            note = Some(FoundNote { n: found.n, by: found.by, at: found.at });
            (SearchKind::Note, found.body.unwrap_or_default())
        }
        HitWhat::Person(text) => (SearchKind::Person, text),
    };
    let snippet = snippet(&text, &sought.places(&text));
    SearchResult { kind, conversation: hit.conversation, message, note, snippet }
}

/// The text around the first of these places.
fn snippet(text: &str, places: &[Range<usize>]) -> Snippet {
    const MORE: char = '…';
    let chars: Vec<char> = text.chars().collect();
    let first = places.first().map_or(0, |place| place.start);
    let latest = chars.len().saturating_sub(SNIPPET_CHARS);
    let begin = first.saturating_sub(BEFORE).min(latest);
    let end = chars.len().min(begin + SNIPPET_CHARS);
    let mut shown = String::new();
    if begin > 0 {
        shown.push(MORE);
    }
    let moved = usize::from(begin > 0);
    let plain = |char: &char| if char.is_whitespace() || char.is_control() { ' ' } else { *char };
    shown.extend(chars[begin..end].iter().map(plain));
    if end < chars.len() {
        shown.push(MORE);
    }
    let within = places.iter().filter(|place| place.start < end && place.end > begin);
    let ranges = within.map(|place| SnippetRange {
        start: place.start.max(begin) - begin + moved,
        end: place.end.min(end) - begin + moved,
    });
    Snippet { text: shown, ranges: ranges.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_is_one_line_around_what_was_found() {
        let of = |text: &str, words: &str| {
            let snippet = snippet(text, &Sought::of(words).unwrap().places(text));
            let chars: Vec<char> = snippet.text.chars().collect();
            let marked: Vec<String> =
                snippet.ranges.iter().map(|range| chars[range.start..range.end].iter().collect()).collect();
            (snippet.text, marked)
        };
        assert_eq!(
            of("A\nrefund\tplease", "refund a"),
            ("A refund please".into(), vec!["A".into(), "refund".into()])
        );
        let long = format!("{}refund {}", "before ".repeat(100), "behind ".repeat(100));
        let (text, marked) = of(&long, "refund");
        assert_eq!(marked, ["refund"]);
        assert!(
            text.starts_with('…') && text.ends_with('…') && text.chars().count() == SNIPPET_CHARS + 2,
            "{text}"
        );
        let (text, marked) = of(&format!("{}\u{1F600} été", "x ".repeat(300)), "ete");
        assert!(text.ends_with("été") && marked == ["été"], "{text}");
        assert_eq!(of("", "x"), (String::new(), vec![]));
    }

    #[test]
    fn a_question_has_its_limits() {
        assert!(sought(&"x".repeat(SEARCH_CHARS)).is_ok());
        assert!(sought(&"x".repeat(10_000)).is_err());
        assert!(sought(&"退款".repeat(20)).is_ok(), "the same pairs are asked for once");
        let many: String = ('一'..='丿').collect();
        assert!(sought(&many).is_err());
    }
}
