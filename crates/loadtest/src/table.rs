//! The figures of all rounds, side by side.

use crate::{
    ledger::Faults,
    metric::{Aim, Outcome},
    options::{Contender, Mode},
};
use serde_json::{Value, json};

/// One figure, for every contender and round.
#[derive(Debug)]
struct Row {
    group: String,
    name: &'static str,
    unit: &'static str,
    aim: Option<Aim>,
    values: Vec<Vec<f64>>,
}

/// All figures.
#[derive(Debug)]
pub(crate) struct Table {
    contenders: Vec<Contender>,
    rows: Vec<Row>,
    faults: Vec<(Mode, Contender, Faults, Option<String>)>,
}

/// A row as it is shown.
#[derive(Debug, PartialEq)]
pub(crate) struct Line {
    /// The measurement and the figure's name.
    pub(crate) title: (String, &'static str),
    /// The median of each contender, with its unit.
    pub(crate) values: Vec<String>,
    /// The first contender's figure divided by the second's.
    pub(crate) ratio: String,
    /// The aim, and whether it is reached.
    pub(crate) aim: String,
}

impl Table {
    /// An empty table of these contenders.
    pub(crate) fn new(contenders: Vec<Contender>) -> Self {
        Self { contenders, rows: Vec::new(), faults: Vec::new() }
    }

    /// Adds what a run found.
    pub(crate) fn add(&mut self, mode: Mode, contender: Contender, outcome: Outcome) {
        let Some(column) = self.contenders.iter().position(|known| *known == contender) else { return };
        for metric in outcome.metrics {
            let known = self.rows.iter().position(|row| row.group == metric.group && row.name == metric.name);
            let index = known.unwrap_or_else(|| {
                self.rows.push(Row {
                    group: metric.group.clone(),
                    name: metric.name,
                    unit: metric.unit,
                    aim: metric.aim,
                    values: vec![Vec::new(); self.contenders.len()],
                });
                self.rows.len() - 1
            });
            self.rows[index].values[column].push(metric.value);
        }
        self.faults.push((mode, contender, outcome.faults, outcome.complaint));
    }

    /// The contenders' names.
    pub(crate) fn contenders(&self) -> Vec<&'static str> {
        self.contenders.iter().map(|contender| contender.name()).collect()
    }

    /// The rows as they are shown.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.rows.iter().map(|row| self.line(row)).collect()
    }

    fn line(&self, row: &Row) -> Line {
        let medians: Vec<Option<f64>> = row.values.iter().map(|values| median(values)).collect();
        let show = |value: &Option<f64>| value.map_or("–".to_owned(), |value| with_unit(value, row.unit));
        let ratio = ratio(&medians);
        let reached = match (self.contenders.first(), medians.first()) {
            // The aims are ReplyHQ's.
            (Some(Contender::Node), _) => None,
            (_, Some(Some(value))) => row.aim.and_then(|aim| aim.reached(*value, ratio)),
            _ => None,
        };
        let mark = reached.map_or("", |reached| if reached { " ✓" } else { " ✗" });
        Line {
            title: (row.group.clone(), row.name),
            values: medians.iter().map(show).collect(),
            ratio: ratio
                .filter(|_| row.unit != "%")
                .map_or(String::new(), |ratio| format!("{}×", short(ratio))),
            aim: row.aim.map_or(String::new(), |aim| aim.text() + mark),
        }
    }

    /// What went wrong, a line for each mode and contender.
    pub(crate) fn fault_lines(&self) -> Vec<String> {
        let line = |(mode, contender, faults, complaint): &(Mode, Contender, Faults, Option<String>)| {
            let complaint = complaint.as_ref().map_or(String::new(), |complaint| format!(" ({complaint})"));
            format!("{}, {}: {faults}{complaint}", mode.name(), contender.name())
        };
        self.faults.iter().map(line).collect()
    }

    /// Whether nothing went wrong.
    pub(crate) fn faultless(&self) -> bool {
        self.faults.iter().all(|(_, _, faults, _)| *faults == Faults::default())
    }

    /// Everything, for a program.
    pub(crate) fn json(&self) -> Value {
        let names = self.contenders();
        let rows = self.rows.iter().map(|row| {
            let medians: Vec<Option<f64>> = row.values.iter().map(|values| median(values)).collect();
            let values =
                names.iter().zip(&row.values).map(|(name, values)| ((*name).to_owned(), json!(values)));
            json!({
                "measurement": row.group,
                "name": row.name,
                "unit": row.unit,
                "aim": row.aim.map(Aim::text),
                "values": values.collect::<serde_json::Map<_, _>>(),
                "medians": medians,
                "ratio": ratio(&medians),
            })
        });
        let faults = self.faults.iter().map(|(mode, contender, faults, complaint)| {
            json!({ "mode": mode.name(), "server": contender.name(), "faults": faults, "complaint": complaint })
        });
        json!({ "rows": rows.collect::<Vec<_>>(), "faults": faults.collect::<Vec<_>>() })
    }
}

/// The middle one, or the mean of the two in the middle.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

fn ratio(medians: &[Option<f64>]) -> Option<f64> {
    match *medians {
        [Some(first), Some(second)] if second != 0.0 => Some(first / second),
        _ => None,
    }
}

fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "%" | "×" | "/s" => format!("{}{unit}", short(value)),
        _ => format!("{} {unit}", short(value)),
    }
}

/// Three digits that count, and commas in what is large.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => {
            let digits = format!("{value:.0}");
            let mut text = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index).is_multiple_of(3) {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
        large if large >= 100.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        large if large >= 1.0 || large == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(value: f64) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.aim("sends", "acknowledged sends", "/s", value, Aim::TimesAtLeast(5.0));
        outcome
    }

    #[test]
    fn the_median_of_each_side_makes_the_ratio() {
        let mut table = Table::new(vec![Contender::Replyhq, Contender::Node]);
        for value in [60_000.0, 10_000.0, 50_000.0] {
            table.add(Mode::Sends, Contender::Replyhq, outcome(value));
        }
        for value in [8_000.0, 12_000.0] {
            table.add(Mode::Sends, Contender::Node, outcome(value));
        }
        let line = &table.lines()[0];
        assert_eq!(line.values, ["50,000/s", "10,000/s"]);
        assert_eq!((line.ratio.as_str(), line.aim.as_str()), ("5.00×", "≥ 5× ✓"));
        assert!(table.faultless());
    }

    #[test]
    fn one_server_alone_has_no_ratio_and_the_baseline_no_aims() {
        let mut table = Table::new(vec![Contender::Node]);
        table.add(Mode::Sends, Contender::Node, outcome(9.0));
        assert_eq!((table.lines()[0].ratio.as_str(), table.lines()[0].aim.as_str()), ("", "≥ 5×"));
    }

    #[test]
    fn faults_are_told_with_their_complaint() {
        let mut table = Table::new(vec![Contender::Replyhq]);
        let faults = Faults { lost: 2, ..Faults::default() };
        let complaint = Some("closed".to_owned());
        table.add(Mode::Fanout, Contender::Replyhq, Outcome { metrics: Vec::new(), faults, complaint });
        assert!(!table.faultless());
        let line = &table.fault_lines()[0];
        assert!(line.starts_with("fanout, ReplyHQ: lost 2,") && line.ends_with("(closed)"), "{line}");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [1_234_567.0, 999.6, 45.67, 4.567, 0.04567, 0.0].map(short);
        assert_eq!(shown, ["1,234,567", "1000", "45.7", "4.57", "0.046", "0.00"]);
    }
}
