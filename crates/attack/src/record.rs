//! What one trial found: figures for a table, and judgements.

/// Something that must hold, and whether it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// Whether it holds.
    pub(crate) holds: bool,
    /// What was found, in a line.
    pub(crate) text: String,
}

/// One scenario against one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// The scenario.
    pub(crate) scenario: &'static str,
    /// The server: `before`, `after` or the only one.
    pub(crate) server: &'static str,
    /// The figures with their names, in the order in which they are shown.
    pub(crate) figures: Vec<(&'static str, String)>,
    /// What had to hold.
    pub(crate) judgements: Vec<Judgement>,
}

impl Record {
    /// Adds a figure.
    pub(crate) fn figure(&mut self, name: &'static str, value: String) {
        self.figures.push((name, value));
    }

    /// Adds a judgement.
    pub(crate) fn judge(&mut self, holds: bool, text: String) {
        self.judgements.push(Judgement { holds, text });
    }

    /// The figure of this name.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.figures.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Whether everything holds.
    pub(crate) fn holds(&self) -> bool {
        self.judgements.iter().all(|judgement| judgement.holds)
    }
}
