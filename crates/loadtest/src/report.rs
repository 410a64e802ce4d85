//! How the table is shown: on the terminal, and in docs.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the tool's output is what it is for")]

use crate::table::Table;

/// How the figures came about.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances {
    /// The machine.
    pub(crate) machine: String,
    /// The command.
    pub(crate) command: String,
    /// The day.
    pub(crate) date: String,
    /// The contenders' versions.
    pub(crate) versions: Vec<String>,
    /// Who runs where, and with what settings.
    pub(crate) notes: Vec<String>,
}

/// Tells what is being done.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// Prints the table.
pub(crate) fn print(table: &Table, circumstances: &Circumstances) {
    println!("{} · {}", circumstances.date, circumstances.machine);
    for line in circumstances.versions.iter().chain(&circumstances.notes) {
        println!("{line}");
    }
    let mut group = String::new();
    let names = table.contenders();
    for line in table.lines() {
        if line.title.0 != group {
            group.clone_from(&line.title.0);
            let heads: Vec<String> = names.iter().map(|name| format!("{name:>20}")).collect();
            println!("\n{group:<40}{}{:>10}  aim", heads.concat(), "ratio");
        }
        let values: Vec<String> = line.values.iter().map(|value| format!("{value:>20}")).collect();
        println!("  {:<38}{}{:>10}  {}", line.title.1, values.concat(), line.ratio, line.aim);
    }
    println!("\nFaults");
    for line in table.fault_lines() {
        println!("  {line}");
    }
}

/// The table as Markdown.
pub(crate) fn markdown(table: &Table, circumstances: &Circumstances) -> String {
    let mut text = format!(
        "- Date: {}\n- Machine: {}\n- Command: `{}`\n",
        circumstances.date, circumstances.machine, circumstances.command
    );
    for line in circumstances.versions.iter().chain(&circumstances.notes) {
        text.push_str(&format!("- {line}\n"));
    }
    let names = table.contenders();
    text.push_str(&format!("\n| Measurement | Figure | {} | Ratio | Aim |\n", names.join(" | ")));
    text.push_str(&format!("| --- | --- |{} ---: | --- |\n", " ---: |".repeat(names.len())));
    for line in table.lines() {
        let (group, name) = line.title;
        let values = line.values.join(" | ");
        text.push_str(&format!("| {group} | {name} | {values} | {} | {} |\n", line.ratio, line.aim));
    }
    text.push_str("\nLost, doubled and disordered messages, and other faults:\n\n");
    for line in table.fault_lines() {
        text.push_str(&format!("- {line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metric::{Aim, Outcome},
        options::{Contender, Mode},
    };

    #[test]
    fn the_markdown_has_a_row_for_each_figure_and_a_column_for_each_server() {
        let mut table = Table::new(vec![Contender::Replyhq, Contender::Node]);
        for (contender, value) in [(Contender::Replyhq, 500.0), (Contender::Node, 100.0)] {
            let mut outcome = Outcome::default();
            outcome.aim("fanout", "deliveries", "/s", value, Aim::TimesAtLeast(4.0));
            table.add(Mode::Fanout, contender, outcome);
        }
        let circumstances = Circumstances {
            machine: "a machine".to_owned(),
            command: "loadtest".to_owned(),
            date: "2030-01-01".to_owned(),
            versions: vec!["ReplyHQ: 1".to_owned()],
            notes: Vec::new(),
        };
        let text = markdown(&table, &circumstances);
        assert!(text.contains("| Measurement | Figure | ReplyHQ | Node | Ratio | Aim |"), "{text}");
        assert!(text.contains("| fanout | deliveries | 500/s | 100/s | 5.00× | ≥ 4× ✓ |"), "{text}");
        assert!(text.contains("- ReplyHQ: 1\n"), "{text}");
    }
}
