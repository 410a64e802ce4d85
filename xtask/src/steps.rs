//! Steps in turn, with what each took.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::tool;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Duration, bool)>,
}

impl Steps {
    /// Does the next step.
    ///
    /// # Errors
    /// The step's own, with its name.
    pub(crate) fn run<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        tool::say(&format!("== {name}"));
        let started = Instant::now();
        let outcome = step();
        self.done.push((name, started.elapsed(), outcome.is_ok()));
        outcome.context(name)
    }

    /// One line a step.
    pub(crate) fn summary(&self) -> String {
        let lines = self.done.iter().map(|(name, time, is_good)| {
            let outcome = if *is_good { "ok" } else { "FAILED" };
            format!("{outcome:>6}  {:>6.1} s  {name}", time.as_secs_f64())
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn the_summary_has_a_line_a_step_and_says_which_failed() {
        let mut steps = Steps::default();
        steps.run("first", || Ok(())).unwrap();
        let error = steps.run::<()>("second", || bail!("no luck")).unwrap_err();
        assert_eq!(format!("{error:#}"), "second: no luck");
        let summary = steps.summary();
        let lines: Vec<_> = summary.lines().collect();
        assert!(lines[0].starts_with("    ok ") && lines[0].ends_with(" s  first"), "{summary}");
        assert!(lines[1].starts_with("FAILED ") && lines[1].ends_with(" s  second"), "{summary}");
    }
}
