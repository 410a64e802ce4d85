//! Makes the search index, behind the commits: what is new first, then what is asked for, then what was there before.
//!
//! One node does, by a lease in the database. It goes in small steps with pauses as long as they took, so that whoever sends waits
//! for one step at most, and it keeps in no memory what it would have to find again.

use std::sync::Arc;
use std::time::Duration;

use protocol::ConversationId;
use store::{
    EndIndexing, EndSearchRequest, Error, ForgetIndex, HoldIndexing, Index, ListFresh, ListOld,
    ListRequested, LoadUnindexed, Mark, NextSearchRequest, Requested, SearchRequest, SearchState, Seen,
    Store,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::metrics::Metrics;

/// From one look to the next where there is nothing to do: what was sent is found within two seconds.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a node may be silent until another takes over.
const LEASE: Duration = Duration::from_secs(5);

/// How often it says that it is alive.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// Rows of one look.
const LOOK_ROWS: u32 = 500;

/// Documents of one transaction.
const STEP: u64 = 100;

/// Conversations of one page of what was there before.
const OLD_PAGE: u32 = 50;

/// What is taken away in one transaction of an index that is made anew.
const FORGET_ROWS: u32 = 1_000;

/// Makes the index as long as it runs, whenever it is this node's to do. Ends when it is told to, and lets go of it.
pub(crate) async fn index(
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    name: String,
    mut stop: watch::Receiver<bool>,
) {
    let indexer = Indexer { store, metrics, name };
    tokio::select! {
        () = indexer.run() => {}
        _ = stop.wait_for(|stopped| *stopped) => {}
    }
    // Another node need not wait for the lease to end.
    let end = EndIndexing { holder: indexer.name };
    let _ = indexer.store.write(end).await;
}

struct Indexer {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    name: String,
}

/// How far it is, as this node knows while the index is its own.
struct Mine {
    state: SearchState,
    renewed: Instant,
}

impl Indexer {
    async fn run(&self) {
        let mut mine: Option<Mine> = None;
        loop {
            // Whether there is more to do at once.
            let outcome = self.look(&mut mine).await;
            self.metrics.indexing(mine.is_some(), mine.as_ref().is_some_and(|mine| mine.state.is_complete));
            match outcome {
                Ok(true) => {}
                Ok(false) => sleep(LOOK_EVERY).await,
                Err(error) => {
                    // What it was about is found again, in the database.
                    tracing::warn!(%error, "the search index could not be brought up to date; trying again");
                    mine = None;
                    sleep(LEASE / 5).await;
                }
            }
        }
    }

    async fn look(&self, mine: &mut Option<Mine>) -> Result<bool, Error> {
        if mine.as_ref().is_none_or(|mine| mine.renewed.elapsed() >= RENEW_EVERY) {
            let renewed = Instant::now();
            let holding = HoldIndexing {
                holder: self.name.clone(),
                now: self.store.clock().now(),
                for_ms: i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX),
            };
            let held = self.store.write(holding).await?;
            // Within a walk the place in it is known here only.
            let seen = mine.take().and_then(|mine| mine.state.seen);
            *mine =
                held.map(|state| Mine { state: SearchState { seen: seen.or(state.seen), ..state }, renewed });
        }
        let Some(Mine { state, .. }) = mine else { return Ok(false) };
        let has_more = self.fresh(&mut state.seen).await?;
        if let Some(request) = self.store.read(NextSearchRequest).await? {
            self.answer(&request, state).await?;
            return Ok(true);
        }
        if state.is_complete {
            return Ok(has_more);
        }
        let old = self.store.read(ListOld { before: state.old_before.clone(), limit: OLD_PAGE }).await?;
        state.is_complete = old.is_empty();
        state.old_before = old.last().cloned();
        let mark = Mark::Old(state.old_before.clone());
        self.bring_up_to_date(&old, Some(mark), false).await?;
        Ok(true)
    }

    /// Whether there is more than one look sees.
    async fn fresh(&self, seen: &mut Option<Seen>) -> Result<bool, Error> {
        let fresh = self.store.read(ListFresh { seen: seen.clone(), limit: LOOK_ROWS }).await?;
        if fresh.seen != *seen {
            // Where nothing has changed but the transactions' numbers, that is not worth a write, which would be the next one. But
            // where it begins must be known before anything else is done.
            let is_worth_it = seen.is_none() || !fresh.conversations.is_empty();
            let mark = fresh.seen.clone().filter(|_| is_worth_it).map(Mark::Seen);
            self.metrics.index_behind(fresh.waiting, None);
            self.bring_up_to_date(&fresh.conversations, mark, true).await?;
            *seen = fresh.seen;
        }
        if !fresh.has_more {
            self.metrics.index_behind(0, None);
        }
        Ok(fresh.has_more)
    }

    /// Indexes what of these conversations is not, and notes then that it is.
    async fn bring_up_to_date(
        &self,
        conversations: &[ConversationId],
        mark: Option<Mark>,
        is_fresh: bool,
    ) -> Result<(), Error> {
        let mut mark = mark;
        for page in conversations.chunks(LOOK_ROWS as usize) {
            loop {
                let load = LoadUnindexed { conversations: page.to_vec(), limit: STEP };
                let unindexed = self.store.read(load).await?;
                if unindexed.parts.is_empty() {
                    break;
                }
                if is_fresh {
                    let now = self.store.clock().now().epoch_ms();
                    let behind = unindexed.oldest.map(|oldest| now.saturating_sub(oldest.epoch_ms()));
                    self.metrics.index_behind(unindexed.waiting, behind);
                }
                // The words are cut beside the work of the sockets.
                let index = tokio::task::spawn_blocking(move || Index::new(unindexed.parts, None)).await;
                let Ok(index) = index else { break };
                self.write(index).await?;
            }
        }
        if let Some(mark) = mark.take() {
            self.write(Index::new(Vec::new(), Some(mark))).await?;
        }
        Ok(())
    }

    async fn write(&self, index: Index) -> Result<(), Error> {
        let began = Instant::now();
        self.metrics.indexed(self.store.write(index).await?);
        sleep(began.elapsed()).await;
        Ok(())
    }

    async fn answer(&self, request: &SearchRequest, state: &mut SearchState) -> Result<(), Error> {
        if let Requested::Rebuild(app_id) = &request.what {
            let began = Instant::now();
            let forget = ForgetIndex { request: request.clone(), limit: FORGET_ROWS };
            if self.store.write(forget).await? {
                tracing::info!(?app_id, "the search index is made anew");
                state.old_before = None;
            }
            state.is_complete = false;
            sleep(began.elapsed()).await;
            return Ok(());
        }
        let mut after = None;
        loop {
            let what = request.what.clone();
            let page = self.store.read(ListRequested { what, after, limit: LOOK_ROWS }).await?;
            self.bring_up_to_date(&page, None, false).await?;
            after = page.last().cloned();
            if page.len() < LOOK_ROWS as usize {
                break;
            }
        }
        self.store.write(EndSearchRequest { request: request.clone() }).await
    }
}
