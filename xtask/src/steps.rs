//! Steps in turn, with what each took.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::tool;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Duration, bool)>,
    /// The step that those before it are left out for, until it is there.
    from: Option<String>,
}

impl Steps {
    /// Steps of which those before the one of this name are left out.
    pub(crate) const fn starting_from(from: Option<String>) -> Self {
        Self { done: Vec::new(), from }
    }

    /// Does the next step, unless an earlier one than this is to be the first.
    ///
    /// # Errors
    /// The step's own, with its name.
    pub(crate) fn check(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.from.as_deref().is_some_and(|from| from != name) {
            return Ok(());
        }
        self.from = None;
        self.run(name, step)
    }

    /// Tells whether the step to start from has not been there.
    ///
    /// # Errors
    /// If there was no such step: nothing was checked.
    pub(crate) fn end(&self) -> Result<()> {
        self.from.as_ref().map_or(Ok(()), |from| bail!("there is no step {from:?}"))
    }

    /// Does a step whose outcome others need.
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

    /// Waits for what was begun beside the steps.
    ///
    /// # Errors
    /// Its own, with its name.
    pub(crate) fn join<T>(&mut self, beside: Beside<T>) -> Result<T> {
        let Beside { name, working } = beside;
        let (took, outcome) = working.join().map_err(|_| anyhow!("{name}: panicked"))?;
        self.done.push((name, took, outcome.is_ok()));
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

/// What is done beside the steps that wait more than they compute.
pub(crate) struct Beside<T> {
    name: &'static str,
    working: JoinHandle<(Duration, Result<T>)>,
}

impl<T: Send + 'static> Beside<T> {
    /// Begins it.
    pub(crate) fn begin(name: &'static str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Self {
        tool::say(&format!("== {name}, beside what follows"));
        let working = std::thread::spawn(move || {
            let started = Instant::now();
            let outcome = work();
            (started.elapsed(), outcome)
        });
        Self { name, working }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_before_the_one_to_start_from_are_left_out() {
        let mut steps = Steps::starting_from(Some("second".to_owned()));
        steps.check("first", || bail!("not to be done")).unwrap();
        assert!(steps.end().is_err(), "nothing was done yet");
        steps.run("needed", || Ok(())).unwrap();
        steps.check("second", || Ok(())).unwrap();
        assert!(steps.check("third", || bail!("no luck")).is_err());
        steps.end().unwrap();
        assert_eq!(steps.summary().lines().count(), 3);
    }

    #[test]
    fn what_is_done_beside_the_steps_is_waited_for_and_told() {
        let mut steps = Steps::default();
        let good = Beside::begin("good", || Ok(7));
        let bad = Beside::begin("bad", || -> Result<()> { bail!("no luck") });
        assert_eq!(steps.join(good).unwrap(), 7);
        assert_eq!(format!("{:#}", steps.join(bad).unwrap_err()), "bad: no luck");
        assert_eq!(steps.summary().lines().count(), 2);
    }

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
