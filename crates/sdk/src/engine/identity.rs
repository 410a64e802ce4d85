//! Who is there, as the app says it, and as the server is told.

use std::sync::Arc;

use protocol::UserId;
use protocol::rest::{Done, User};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::effect::Effect;
use super::report::{Asked, Report};
use super::{Engine, Errand, bounded};
use crate::connection::{Input, Phase};
use crate::identity::named_by;
use crate::local::{Error, Identified, LeftDevice};
use crate::outbox::{Bar, Failed};
use crate::{ClientError, Identity, LogLevel, TokenSource, limits};

/// Who the server is to be told is there.
#[derive(Clone)]
pub(super) enum Who {
    Nobody,
    /// By the app's word.
    Claimed(Box<User>),
    /// By a token: this one, or one that is to be fetched.
    Proven {
        user_id: UserId,
        tokens: Arc<dyn TokenSource>,
        fresh: Option<String>,
    },
}

/// Who the server was told is there.
pub(crate) struct ToldWho {
    /// Nobody, without it.
    pub(super) user: Option<Box<User>>,
    pub(super) is_by_token: bool,
}

/// Somebody whom only their token will name.
pub(super) struct Naming {
    tokens: Arc<dyn TokenSource>,
    reply: oneshot::Sender<Result<(), ClientError>>,
    is_under_way: bool,
}

impl Engine {
    pub(super) fn identify(
        &mut self,
        identity: Identity,
        reply: oneshot::Sender<Result<(), ClientError>>,
    ) -> Result<(), Error> {
        self.give_up_naming();
        match identity {
            Identity::Claimed(user) => self.is_there(&user, None, reply),
            Identity::Proven { user_id: Some(id), tokens } => {
                let user = User { id, name: None, email: None, attributes: None };
                self.is_there(&user, Some((tokens, None)), reply)
            }
            Identity::Proven { user_id: None, tokens } => {
                self.naming = Some(Naming { tokens, reply, is_under_way: false });
                self.ask_for_a_name();
                Ok(())
            }
        }
    }

    /// Somebody else is named: who waits to be is not any more.
    fn give_up_naming(&mut self) {
        self.naming_turn += 1;
        if let Some(naming) = self.naming.take() {
            // Who does not wait does not need to know.
            let _ =
                naming.reply.send(Err(ClientError::NotPossible("somebody else was named meanwhile".into())));
        }
    }

    /// Asks the app for the token that names somebody, unless it is in the background.
    pub(super) fn ask_for_a_name(&mut self) {
        let is_foreground = self.connection.is_foreground();
        let Some(naming) = self.naming.as_mut().filter(|naming| is_foreground && !naming.is_under_way) else {
            return;
        };
        naming.is_under_way = true;
        let fetching = naming.tokens.fetch();
        let (tell, turn) = (self.tell.clone(), self.naming_turn);
        // By itself: who changes the person meanwhile doesn't end what the app has begun.
        let asking: super::Task = Box::pin(async move {
            let outcome = fetched(fetching).await;
            // The client is closed where nobody listens.
            let _ = tell.send(Report::Named { turn, outcome }).await;
        });
        tokio::spawn(asking);
    }

    pub(super) fn named(&mut self, turn: u64, outcome: Result<String, String>) -> Result<(), Error> {
        let Some(Naming { tokens, reply, .. }) = self.naming.take_if(|_| turn == self.naming_turn) else {
            return Ok(());
        };
        match outcome.and_then(|token| Ok((named_by(&token)?, token))) {
            Ok((user, token)) => self.is_there(&user, Some((tokens, Some(token))), reply),
            Err(why) => {
                // Who does not wait does not need to know.
                let _ = reply.send(Err(ClientError::Token(why)));
                Ok(())
            }
        }
    }

    /// This person is there; by these tokens, or by the app's word.
    fn is_there(
        &mut self,
        user: &User,
        tokens: Option<(Arc<dyn TokenSource>, Option<String>)>,
        reply: oneshot::Sender<Result<(), ClientError>>,
    ) -> Result<(), Error> {
        // What was done before this was for the person before.
        self.finish();
        self.reply(reply, ());
        if !self.people.is_current(&user.id) {
            // What is under way for the person before goes on when they are back: nothing has crashed.
            self.store.end_attempts()?;
            self.store.commit()?;
        }
        let is_by_token = tokens.is_some();
        (self.tokens, self.fresh_token) = match tokens {
            Some((tokens, fresh)) => (Some(tokens), fresh),
            None => (None, None),
        };
        if self.people.change_to(&user.id, &mut self.store)? {
            self.begin_anew();
        }
        let Identified { user: known, is_by_token: was_by_token, is_told } = self.store.identified()?;
        // A token that is only to be fetched may say more than is known here, and is not asked for that.
        let is_known = known.as_ref().is_some_and(|known| {
            was_by_token == is_by_token
                && (known == user || is_by_token && known.id == user.id && self.fresh_token.is_none())
        });
        if !is_known {
            self.store.set_user(user, is_by_token)?;
            self.views.change_state();
        } else if is_told {
            // When one is needed it may have expired.
            self.fresh_token = None;
        }
        if !is_known || !is_told {
            if self.outgoing.is_some() {
                self.identifying.want();
            } else if let Phase::Unidentified { .. } = self.connection.phase {
                self.step(Input::NewPerson);
            }
        }
        Ok(())
    }

    pub(super) fn log_out(&mut self, reply: oneshot::Sender<Result<(), ClientError>>) -> Result<(), Error> {
        self.give_up_naming();
        self.finish();
        self.reply(reply, ());
        (self.tokens, self.fresh_token) = (None, None);
        let outcome = self.people.forget(&mut self.store);
        // Even where something could not be removed: nothing of the person is kept in memory or shown.
        self.begin_anew();
        outcome
    }

    /// What the server is to be told of who is there, if it is to be told anything and that can be done now.
    pub(super) fn untold_who(&mut self) -> Result<Option<Who>, Error> {
        let Identified { user, is_by_token, is_told } = self.store.identified()?;
        if is_told {
            return Ok(None);
        }
        let Some(user) = user else { return Ok(Some(Who::Nobody)) };
        if !is_by_token {
            return Ok(Some(Who::Claimed(Box::new(user))));
        }
        // Nobody sees in the background what the app would have to ask for, and many backends sign out who is asked there.
        let tokens = self.tokens.clone().filter(|_| self.connection.is_foreground());
        let fresh = self.fresh_token.take_if(|_| tokens.is_some());
        Ok(tokens.map(|tokens| Who::Proven { user_id: user.id, tokens, fresh }))
    }

    pub(super) fn identify_if_needed(&mut self, now: Instant) -> Result<(), Error> {
        if self.identifying.begin(now) {
            match self.untold_who()? {
                Some(who) => self.effects.push(Effect::Ask(Asked::Identify { who })),
                None => self.identifying.done(),
            }
        }
        Ok(())
    }

    /// Until when no conversation is opened: who is proven goes on in the one that they have open at another device, and the server
    /// is just being told who that is.
    pub(super) fn waits_for_identity_until(&self) -> Option<Instant> {
        let until = self.identifying.under_way_since.map(|since| since + limits::IDENTIFY_FIRST);
        until.filter(|until| Instant::now() < *until)
    }

    /// Tells the server who is there before there is a connection, if it does not know. Ends when it is told, or was not.
    pub(super) fn identify_first(&mut self) -> Option<oneshot::Receiver<()>> {
        if self.identifying.is_under_way() {
            return None;
        }
        // What can't be read now is read again when there is a connection.
        let who = self.untold_who().ok().flatten()?;
        self.identifying.began(Instant::now());
        Some(self.ask_now(Asked::Identify { who }))
    }

    /// The app is seen again: what had to wait for that.
    pub(super) fn identify_in_the_foreground(&mut self) -> Result<(), Error> {
        self.ask_for_a_name();
        if self.outgoing.is_some() && !self.store.identified()?.is_told && self.identifying.is_done() {
            self.identifying.want();
        }
        Ok(())
    }

    pub(super) fn told_who(&mut self, told: &ToldWho, outcome: Result<Done, Failed>) -> Result<(), Error> {
        let ToldWho { user, is_by_token } = told;
        let failed = match outcome {
            Ok(_) => {
                self.identifying.done();
                if let Some(user) = user.as_deref().filter(|_| *is_by_token) {
                    return self.is_proven(user);
                }
                return self.store.user_was_told(user.as_deref());
            }
            Err(failed) => failed,
        };
        let retry_after = match failed {
            Failed::ForNow { retry_after } => retry_after,
            // By the same code the server says that it does not know a token. What is wrong with the key, the connection tells.
            Failed::Barred(Bar::Key) if *is_by_token => {
                self.log(LogLevel::Error, "the server refused the token: it proves nothing");
                None
            }
            Failed::ForGood { code, message } if *is_by_token => {
                self.log(LogLevel::Error, &format!("nobody is identified: {message} ({code})"));
                None
            }
            Failed::Barred(bar) => {
                // What is told goes on when that has gone, with the next connection.
                self.identifying.done();
                return self.barred(bar);
            }
            Failed::ForGood { code, message } => {
                self.log(LogLevel::Error, &format!("the server refused the person's data: {code} {message}"));
                // They were not told: another server, or a later one, may take them. Not before the next connection.
                self.identifying.done();
                return Ok(());
            }
        };
        let chance = self.chance();
        self.identifying.failed(bounded(retry_after), Instant::now(), chance);
        Ok(())
    }

    /// The server knows who is there, by a token that says this of them.
    fn is_proven(&mut self, user: &User) -> Result<(), Error> {
        let known = self.store.identified()?;
        if known.is_by_token && known.user.as_ref().is_some_and(|known| known.id == user.id) {
            self.store.set_user(user, true)?;
            self.store.user_was_told(Some(user))?;
            // What they have written at other devices is theirs here, too.
            self.listing.want();
        }
        Ok(())
    }

    /// Something stands between the client and the server, as it has said on a connection or by REST.
    pub(super) fn barred(&mut self, bar: Bar) -> Result<(), Error> {
        let (_, what) = bar.told();
        self.log(LogLevel::Warn, what);
        match bar {
            Bar::Key => self.step(Input::Refused),
            Bar::Blocked => self.step(Input::Blocked),
            Bar::Identity => {
                if let Phase::Online { .. } = self.connection.phase {
                    self.store.user_is_untold()?;
                    let may_retry = !self.store.identified()?.is_by_token || self.tokens.is_some();
                    self.step(Input::Unidentified { may_retry });
                }
            }
        }
        Ok(())
    }

    /// Tells the server of a device that nobody is there any more who has logged out, where that could not be told then.
    pub(super) fn leave_if_needed(&mut self, now: Instant) {
        let Some(left) = self.people.left() else { return };
        if self.leaving.is_done() {
            self.leaving.want();
        }
        if self.leaving.begin(now) {
            self.effects.push(Effect::Ask(Asked::Leave { left }));
        }
    }

    pub(super) fn left(&mut self, left: &LeftDevice, outcome: Result<Done, Failed>) -> Result<(), Error> {
        match outcome {
            Err(Failed::ForNow { retry_after }) => {
                let chance = self.chance();
                self.leaving.failed(bounded(retry_after), Instant::now(), chance);
                Ok(())
            }
            outcome => {
                if let Err(failed) = outcome {
                    // The key is good, for there is a connection: it is the device that the server does not know, or won't hear.
                    self.log(LogLevel::Warn, &format!("a device that was left can't be told of: {failed:?}"));
                }
                self.leaving = Errand::default();
                self.people.forget_left(&left.device_id)
            }
        }
    }
}

/// A token that the app has fetched.
pub(super) async fn fetched(fetching: crate::identity::FetchingToken) -> Result<String, String> {
    match tokio::time::timeout(limits::TOKEN_TIMEOUT, fetching).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("the app gave no token within {} s", limits::TOKEN_TIMEOUT.as_secs())),
    }
}
