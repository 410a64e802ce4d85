//! How it is shown: on the terminal, and in docs.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the tool's output is what it is for")]

use crate::record::{Judgement, Record};

/// The figures of the Markdown table, which has a column for each. The terminal has more.
const COLUMNS: [&str; 8] = [
    "private",
    "kernel TCP",
    "CPU",
    "ack, attacked",
    "login, attacked",
    "thrown out",
    "connected at the end",
    "SIGTERM",
];

/// Tells what is being done.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// Prints a line.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Prints what the servers made of one scenario.
pub(crate) fn print(records: &[Record]) {
    let Some(first) = records.first() else { return };
    let heads: Vec<String> = records.iter().map(|record| format!("{:<88}", record.server)).collect();
    println!("\n{:<30}{}", first.scenario, heads.concat().trim_end());
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in records.iter().flat_map(|record| &record.figures) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    for name in names {
        let values: Vec<String> =
            records.iter().map(|record| format!("{:<88}", record.value(name).unwrap_or("–"))).collect();
        println!("  {name:<28}{}", values.concat().trim_end());
    }
    for record in records {
        for Judgement { holds, text } in &record.judgements {
            println!("  {} {}: {text}", if *holds { "✓" } else { "✗" }, record.server);
        }
    }
}

/// One line for each judgement that fails.
pub(crate) fn failures(records: &[Record]) -> Vec<String> {
    let failed = records.iter().flat_map(|record| {
        let failed = record.judgements.iter().filter(|judgement| !judgement.holds);
        failed.map(move |judgement| format!("{}, {}: {}", record.scenario, record.server, judgement.text))
    });
    failed.collect()
}

/// The table as Markdown: a row for each scenario, with a line for each server in its cells.
pub(crate) fn markdown(records: &[Record], versions: &[String]) -> String {
    let mut text = String::new();
    for version in versions {
        text.push_str(&format!("- {version}\n"));
    }
    text.push_str(
        "\nMemory is before → at its peak → after the attackers left; times are median / 99th percentile / longest.\n\n",
    );
    text.push_str(&format!("| scenario | server | {} | holds |\n", COLUMNS.join(" | ")));
    text.push_str(&format!("| --- | --- |{} --- |\n", " --- |".repeat(COLUMNS.len())));
    for of_scenario in records.chunk_by(|one, other| one.scenario == other.scenario) {
        let cell = |value: &dyn Fn(&Record) -> String| {
            of_scenario.iter().map(value).collect::<Vec<_>>().join("<br>").replace('|', "\\|")
        };
        let values = COLUMNS.map(|name| cell(&|record| record.value(name).unwrap_or("–").to_owned()));
        let server = cell(&|record| record.server.to_owned());
        let holds = cell(&|record| if record.holds() { "yes" } else { "**no**" }.to_owned());
        text.push_str(&format!(
            "| {} | {server} | {} | {holds} |\n",
            of_scenario[0].scenario,
            values.join(" | ")
        ));
    }
    text.push_str("\nWhat does not hold:\n\n");
    for line in failures(records) {
        text.push_str(&format!("- {line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_markdown_has_a_row_for_each_server_and_a_line_for_each_failure() {
        let record = |server, holds| {
            let mut record = Record { scenario: "pings/empty", server, ..Record::default() };
            record.figure("private", "3 → 9 → 4 MiB".to_owned());
            record.judge(holds, "they took much".to_owned());
            record
        };
        let records = [record("before", false), record("after", true)];
        let text = markdown(&records, &["before: 1".to_owned()]);
        assert!(
            text.contains("| pings/empty | before<br>after | 3 → 9 → 4 MiB<br>3 → 9 → 4 MiB |"),
            "{text}"
        );
        assert!(text.contains("| **no**<br>yes |"), "{text}");
        assert_eq!(failures(&records), ["pings/empty, before: they took much"]);
    }
}
