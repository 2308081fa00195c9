-- +goose Up
-- Times are microseconds since 1970 UTC. NULL is "not yet" or "none". Texts sort by
-- their bytes, as they do in SQLite.

CREATE TABLE accounts (
    id                  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    email               TEXT COLLATE "C" NOT NULL,
    email_key           TEXT COLLATE "C" NOT NULL UNIQUE,
    email_verified_at   BIGINT,
    password_hash       TEXT COLLATE "C" NOT NULL,
    password_changed_at BIGINT,
    role                TEXT COLLATE "C" NOT NULL,
    created_at          BIGINT           NOT NULL,
    disabled_at         BIGINT
);

CREATE TABLE sessions (
    id               TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account          TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    digest           BYTEA            NOT NULL UNIQUE CHECK (length(digest) = 32),
    created_at       BIGINT           NOT NULL,
    expires_at       BIGINT           NOT NULL,
    authenticated_at BIGINT           NOT NULL,
    last_seen_at     BIGINT           NOT NULL,
    second_factor    BOOLEAN          NOT NULL,
    browser          TEXT COLLATE "C" NOT NULL,
    country          TEXT COLLATE "C" NOT NULL
);
CREATE INDEX sessions_account ON sessions (account, created_at);

CREATE TABLE challenges (
    digest     BYTEA            NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    account    TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    created_at BIGINT           NOT NULL,
    expires_at BIGINT           NOT NULL,
    tries      BIGINT           NOT NULL
);
CREATE INDEX challenges_account ON challenges (account);

CREATE TABLE devices (
    account    TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    digest     BYTEA            NOT NULL CHECK (length(digest) = 32),
    created_at BIGINT           NOT NULL,
    last_seen  BIGINT           NOT NULL,
    PRIMARY KEY (account, digest)
);

CREATE TABLE totp (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account      TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    key_id       TEXT COLLATE "C" NOT NULL,
    box          BYTEA            NOT NULL,
    last_step    BIGINT           NOT NULL,
    created_at   BIGINT           NOT NULL,
    confirmed_at BIGINT
);
CREATE UNIQUE INDEX totp_pending ON totp (account) WHERE confirmed_at IS NULL;
CREATE UNIQUE INDEX totp_confirmed ON totp (account) WHERE confirmed_at IS NOT NULL;

CREATE TABLE recovery_codes (
    account TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    digest  BYTEA            NOT NULL CHECK (length(digest) = 32),
    used_at BIGINT,
    PRIMARY KEY (account, digest)
);

CREATE TABLE links (
    digest     BYTEA            NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    account    TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    purpose    TEXT COLLATE "C" NOT NULL,
    email      TEXT COLLATE "C" NOT NULL,
    created_at BIGINT           NOT NULL,
    expires_at BIGINT           NOT NULL
);
CREATE INDEX links_account ON links (account, purpose);

CREATE TABLE tokens (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account      TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    digest       BYTEA            NOT NULL UNIQUE CHECK (length(digest) = 32),
    name         TEXT COLLATE "C" NOT NULL,
    hint         TEXT COLLATE "C" NOT NULL,
    scopes       TEXT COLLATE "C" NOT NULL, -- a JSON list
    created_at   BIGINT           NOT NULL,
    expires_at   BIGINT           NOT NULL,
    last_used_at BIGINT,
    revoked_at   BIGINT
);
CREATE INDEX tokens_account ON tokens (account, created_at);

CREATE TABLE throttles (
    key      TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- a keyed hash
    failures BIGINT           NOT NULL,
    first_at BIGINT           NOT NULL,
    last_at  BIGINT           NOT NULL
);
CREATE INDEX throttles_last ON throttles (last_at);

-- An event outlives its account: it goes by its own retention.
CREATE TABLE events (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at         BIGINT           NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C",
    ip         BYTEA            CHECK (length(ip) IN (4, 16)),
    user_agent TEXT COLLATE "C" NOT NULL,
    country    TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL
);
CREATE INDEX events_at ON events (at, id);
CREATE INDEX events_account ON events (account, at, id);
CREATE INDEX events_ip ON events (ip, at);

CREATE TABLE holds (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    reference   TEXT COLLATE "C" NOT NULL,
    reason      TEXT COLLATE "C" NOT NULL,
    filter      TEXT COLLATE "C" NOT NULL, -- JSON
    review_at   BIGINT           NOT NULL,
    placed_by   TEXT COLLATE "C" NOT NULL,
    placed_at   BIGINT           NOT NULL,
    released_at BIGINT,
    released_by TEXT COLLATE "C"
);

CREATE TABLE event_holds (
    event TEXT COLLATE "C" NOT NULL REFERENCES events (id) ON DELETE RESTRICT,
    hold  TEXT COLLATE "C" NOT NULL REFERENCES holds (id) ON DELETE RESTRICT,
    PRIMARY KEY (event, hold)
);
CREATE INDEX event_holds_hold ON event_holds (hold);

-- Actor and subject are no references: the log outlives accounts.
CREATE TABLE audit (
    seq     BIGINT           NOT NULL PRIMARY KEY,
    at      BIGINT           NOT NULL,
    actor   TEXT COLLATE "C" NOT NULL,
    action  TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    reason  TEXT COLLATE "C" NOT NULL,
    query   TEXT COLLATE "C" NOT NULL,
    prev    BYTEA            NOT NULL CHECK (length(prev) = 32),
    hash    BYTEA            NOT NULL CHECK (length(hash) = 32)
);

-- The log only grows, by rows that follow the newest.
-- +goose StatementBegin
CREATE FUNCTION audit_grows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    newest audit%ROWTYPE;
BEGIN
    SELECT * INTO newest FROM audit ORDER BY seq DESC LIMIT 1;
    IF NEW.seq <> coalesce(newest.seq, 0) + 1
        OR NEW.prev <> coalesce(newest.hash, decode(repeat('00', 32), 'hex')) THEN
        RAISE EXCEPTION 'a row of the audit log follows the newest';
    END IF;
    RETURN NEW;
END;
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_grows BEFORE INSERT ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_grows();
CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_stays();

CREATE TABLE mails (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account     TEXT COLLATE "C" REFERENCES accounts (id) ON DELETE CASCADE,
    recipient   TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    data        TEXT COLLATE "C" NOT NULL, -- JSON; empty once it is sent or given up
    created_at  BIGINT           NOT NULL,
    due_at      BIGINT           NOT NULL,
    attempts    BIGINT           NOT NULL,
    sent_at     BIGINT,
    given_up_at BIGINT
);
CREATE INDEX mails_due ON mails (due_at) WHERE sent_at IS NULL AND given_up_at IS NULL;
CREATE INDEX mails_account ON mails (account, kind, created_at);

-- Empty. Every write locks it, shared; one that failed twice for others' sake locks it
-- alone.
CREATE TABLE turns (dummy BOOLEAN);
