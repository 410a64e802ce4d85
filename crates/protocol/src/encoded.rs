//! How long things are once they are encoded in JSON: what a page and a body are bounded by.

use std::io::{self, Write};

use serde::Serialize;

use crate::Message;
use crate::limits::PAGE_BYTES;

/// Bytes of JSON that `value` takes.
pub fn json_len<T: Serialize + ?Sized>(value: &T) -> usize {
    struct Count(usize);

    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // What does not serialise can't be sent either: it takes no room.
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => 0,
    }
}

/// How many of the rows, from the first on, fit into one page of [`PAGE_BYTES`]; at least one, if there is one.
pub fn fitting<T: Serialize>(rows: &[T]) -> usize {
    let mut bytes = 0;
    let fitting = rows.iter().take_while(|row| {
        // With the comma before it.
        bytes += json_len(row) + 1;
        bytes <= PAGE_BYTES
    });
    fitting.count().max(1).min(rows.len())
}

/// As [`fitting`], which it only asks where the messages are long enough for it to matter.
pub fn messages_fitting(messages: &[Message]) -> usize {
    /// No byte becomes more than six in JSON.
    const LONGEST: usize = 6;
    /// More than all other fields take.
    const REST: usize = 1_000;
    let at_most = |message: &Message| {
        let name = message.sender_name.as_ref().map_or(0, String::len);
        LONGEST * (message.body.len() + name) + REST
    };
    if messages.iter().map(at_most).sum::<usize>() <= PAGE_BYTES { messages.len() } else { fitting(messages) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_what_is_written() {
        for text in ["", "x", "\u{1}\u{1f}", "\"\\\n", "é李🙂"] {
            assert_eq!(json_len(text), serde_json::to_string(text).unwrap().len(), "{text:?}");
        }
    }

    #[test]
    fn a_page_ends_before_it_is_too_long_and_is_never_empty() {
        let row = "x".repeat(PAGE_BYTES / 4);
        assert_eq!(fitting(&[&row; 3]), 3);
        assert_eq!(fitting(&[&row; 9]), 3);
        assert_eq!(fitting(&[row.repeat(9)]), 1);
        assert_eq!(fitting::<String>(&[]), 0);
    }
}
