//! The keys by which an app's own backend proves who its people are.

use cluster::Signal;
use protocol::limits::IDENTITY_KEYS_LIVE;
use protocol::rest::IdentityKeyInfo;
use protocol::{AppId, Code, Failure, IdentityKeyId};
use serde_json::json;
use store::{
    AddIdentityKey, EndBindingsOfKey, FindIdentityKey, IdentityKey, KeyAdded, ListIdentityKeys,
    RetireIdentityKey,
};

use crate::administration::By;
use crate::{Chat, credential, identity_token};

/// Begins every secret that identities are signed with.
const SECRET_PREFIX: &str = "rhq_ids_";

/// Bindings that are ended in one transaction.
const ENDED_AT_ONCE: u32 = 500;

/// A new secret, which is not to be had again.
#[derive(Debug, Clone)]
pub struct NewIdentitySecret {
    /// Its name in lists.
    pub id: IdentityKeyId,
    /// The secret: all of it, as text, is the key of HS256.
    pub secret: String,
}

impl Chat {
    /// Makes a secret for HS256. `None` if there is no such app.
    ///
    /// # Errors
    /// `FORBIDDEN`; `VALIDATION_ERROR` if as many keys are live as may be; `SERVER_ERROR`.
    pub async fn add_identity_secret(
        &self,
        by: &By,
        app_id: &AppId,
    ) -> Result<Option<NewIdentitySecret>, Failure> {
        let secret = credential::generate(SECRET_PREFIX, &self.ambient);
        let added = self.add_identity(by, app_id, "HS256", secret.clone()).await?;
        Ok(added.map(|key| NewIdentitySecret { id: key.id, secret }))
    }

    /// Takes a public key, as PEM: ES256, EdDSA or RS256, by its kind. `None` if there is no such app.
    ///
    /// # Errors
    /// `FORBIDDEN`; `VALIDATION_ERROR` for what is no such key, or if as many are live as may be; `SERVER_ERROR`.
    pub async fn add_identity_key(
        &self,
        by: &By,
        app_id: &AppId,
        public_key: &str,
    ) -> Result<Option<IdentityKey>, Failure> {
        let algorithm = identity_token::algorithm_of(public_key)?;
        self.add_identity(by, app_id, algorithm, public_key.to_owned()).await
    }

    async fn add_identity(
        &self,
        by: &By,
        app_id: &AppId,
        algorithm: &str,
        key: String,
    ) -> Result<Option<IdentityKey>, Failure> {
        self.may_manage(by)?;
        let now = self.ambient.now();
        let id = IdentityKeyId::new(now, self.ambient.chance());
        let key = IdentityKey {
            id: id.clone(),
            app_id: app_id.clone(),
            algorithm: algorithm.into(),
            key,
            created_at: now,
            retired_at: None,
        };
        let mut act = self.act_by(by, app_id, "identity_key.add", &id);
        act.details = Some(json!({ "algorithm": algorithm }));
        match self.write(AddIdentityKey { key: key.clone(), most: IDENTITY_KEYS_LIVE, act }).await? {
            KeyAdded::Done => Ok(Some(key)),
            KeyAdded::NoApp => Ok(None),
            KeyAdded::TooMany => Err(Failure::invalid(format!(
                "{IDENTITY_KEYS_LIVE} keys of this app are live, and no more may be: retire one first"
            ))),
        }
    }

    /// An app's keys, the retired ones too. `None` if there is no such app.
    ///
    /// # Errors
    /// `FORBIDDEN`, `SERVER_ERROR`.
    pub async fn identity_keys(&self, by: &By, app_id: &AppId) -> Result<Option<Vec<IdentityKey>>, Failure> {
        self.may_manage(by)?;
        if !self.app_exists(app_id).await? {
            return Ok(None);
        }
        self.read(ListIdentityKeys { app_id: app_id.clone() }).await.map(Some)
    }

    /// Retires a key: it proves nothing more, and with `end_bindings` nothing that it has proved holds any longer. False if it
    /// was retired before.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `SERVER_ERROR`.
    pub async fn retire_identity_key(
        &self,
        by: &By,
        id: &IdentityKeyId,
        end_bindings: bool,
    ) -> Result<bool, Failure> {
        self.may_manage(by)?;
        let found = self.read(FindIdentityKey { id: id.clone() }).await?;
        let key = found
            .filter(|key| by.may_touch(&key.app_id))
            .ok_or_else(|| Failure::new(Code::NotFound, "there is no such key"))?;
        let mut act = self.act_by(by, &key.app_id, "identity_key.retire", id);
        act.details = Some(json!({ "end_bindings": end_bindings }));
        let app_id = key.app_id.clone();
        let retired = self.write(RetireIdentityKey { id: id.clone(), app_id: app_id.clone(), act }).await?;
        if end_bindings {
            let now = self.ambient.now();
            loop {
                let ending = EndBindingsOfKey { id: id.clone(), limit: ENDED_AT_ONCE, now };
                if self.write(ending).await? < u64::from(ENDED_AT_ONCE) {
                    break;
                }
            }
            self.publish(app_id, Signal::Revoked {});
        }
        Ok(retired)
    }
}

/// A key as it may be shown.
pub fn identity_key(key: &IdentityKey) -> IdentityKeyInfo {
    IdentityKeyInfo {
        id: key.id.clone(),
        algorithm: key.algorithm.clone(),
        created_at: key.created_at,
        retired_at: key.retired_at,
    }
}
