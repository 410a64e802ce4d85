-- How an app takes people's identity: 'claimed' believes the app's word for a name, 'verified' wants a proof.
ALTER TABLE apps ADD COLUMN identity TEXT NOT NULL DEFAULT 'claimed';
ALTER TABLE apps ADD COLUMN requires_device_secret BIGINT NOT NULL DEFAULT 0;

-- By what an app's own backend proves who somebody is. A shared secret has to be kept as it is; a public key is public.
CREATE TABLE identity_keys (
    id         TEXT   NOT NULL PRIMARY KEY,
    app_id     TEXT   NOT NULL REFERENCES apps (id),
    algorithm  TEXT   NOT NULL,
    key        TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT
);
CREATE INDEX identity_keys_by_app ON identity_keys (app_id, id);

-- People of whom something is known beside one device's word: what a token proved, and whether the agents blocked them.
CREATE TABLE people (
    app_id     TEXT   NOT NULL REFERENCES apps (id),
    user_id    TEXT   NOT NULL,
    name       TEXT,
    email      TEXT,
    attributes TEXT,
    proven_at  BIGINT,
    blocked_at BIGINT,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, user_id)
);

-- Who owns the device's name, how its person is known, and a number that rises whenever what was let in before has to go.
ALTER TABLE devices ADD COLUMN secret_hash TEXT;
ALTER TABLE devices ADD COLUMN is_proven BIGINT NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN proven_by TEXT;
ALTER TABLE devices ADD COLUMN proven_until BIGINT;
ALTER TABLE devices ADD COLUMN needs_identity BIGINT NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN blocked_at BIGINT;
ALTER TABLE devices ADD COLUMN last_seen_at BIGINT;
ALTER TABLE devices ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
CREATE INDEX devices_by_person ON devices (app_id, user_id, device_id) WHERE user_id IS NOT NULL;
CREATE INDEX devices_by_proof ON devices (proven_by, app_id, device_id) WHERE proven_by IS NOT NULL;
CREATE INDEX devices_by_end ON devices (proven_until) WHERE proven_until IS NOT NULL;

-- What devices a node has to look at again, in the order of the commits: the others may not have heard of it.
CREATE TABLE device_revocations (
    n         BIGINT NOT NULL PRIMARY KEY,
    app_id    TEXT   NOT NULL,
    device_id TEXT   NOT NULL,
    version   BIGINT NOT NULL,
    reason    TEXT   NOT NULL,
    at        BIGINT NOT NULL
);

-- A proven person's conversations are shown by every device at which that person is proven; all others by their own device,
-- if is_shown says so. A server that knows nothing of proofs shows the former to nobody.
ALTER TABLE conversations ADD COLUMN is_proven BIGINT NOT NULL DEFAULT 0;
CREATE INDEX conversations_by_person ON conversations (app_id, user_id, is_proven, status, id) WHERE user_id IS NOT NULL;
CREATE INDEX conversations_of_proven ON conversations (app_id, user_id, updated_at, id) WHERE is_proven = 1;
