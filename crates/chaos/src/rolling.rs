//! A rolling deployment: each node in turn is asked to end, ends, and is started again, while all clients go on.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use crate::board::{Board, Phase};
use crate::record::Record;
use crate::report::{Report, Restart};
use crate::run::settle;
use crate::say;
use crate::site::Site;

/// How long traffic goes on before the first restart, and after each.
const CALM: Duration = Duration::from_secs(3);

/// The reconnect rate is counted over windows of this length.
const WINDOW: Duration = Duration::from_secs(1);

/// Restarts each node once.
pub(crate) async fn run(site: &mut Site, board: &Board, report: &mut Report) -> Result<()> {
    board.set_phase(Phase::Busy);
    sleep(CALM).await;
    for node in 0..site.nodes.len() {
        let began = Instant::now();
        site.nodes[node].end().await.with_context(|| format!("ending node {node}"))?;
        site.start_node(node).await.with_context(|| format!("starting node {node}"))?;
        say(&format!("node {node} was restarted within {:.2} s", began.elapsed().as_secs_f64()));
        // Its clients come back while sends go on: the next one waits until they have.
        let spread = Duration::from_secs(site.spread);
        sleep(spread + CALM).await;
        report.restarts.push(Restart { began, spread });
        settle(board, site.contender, report, &format!("restart of node {node}"), began).await;
        board.set_phase(Phase::Busy);
    }
    settle(board, site.contender, report, "the end", Instant::now()).await;
    // Who came back when is told instead.
    report.recoveries.clear();
    Ok(())
}

/// How many came back between the two times, and the most of them within a second.
pub(crate) fn returns(records: &[Record], from: Instant, to: Option<Instant>) -> (usize, usize) {
    let all = records.iter().flat_map(|record| record.connects.iter().copied());
    let mut times: Vec<Instant> = all.filter(|at| *at > from && to.is_none_or(|to| *at < to)).collect();
    times.sort_unstable();
    let within = |at: &Instant| times.iter().filter(|other| *other >= at && **other < *at + WINDOW).count();
    (times.len(), times.iter().map(within).max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_most_within_any_second() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let records = [
            Record { connects: vec![start, at(500), at(2_900)], ..Record::default() },
            Record { connects: vec![at(3_100), at(3_800), at(9_000)], ..Record::default() },
        ];
        assert_eq!(returns(&records, start, Some(at(5_000))), (4, 3));
        assert_eq!(returns(&records, at(3_000), None), (3, 2));
    }
}
