-- +goose Up
-- Times are microseconds since 1970 UTC. NULL is "not yet" or "none".

CREATE TABLE accounts (
    id                  TEXT    NOT NULL PRIMARY KEY,
    email               TEXT    NOT NULL,
    email_key           TEXT    NOT NULL UNIQUE,
    email_verified_at   INTEGER,
    password_hash       TEXT    NOT NULL,
    password_changed_at INTEGER,
    role                TEXT    NOT NULL,
    created_at          INTEGER NOT NULL,
    disabled_at         INTEGER
) STRICT;

CREATE TABLE sessions (
    id               TEXT    NOT NULL PRIMARY KEY,
    account          TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    digest           BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    last_seen_at     INTEGER NOT NULL,
    second_factor    INTEGER NOT NULL CHECK (second_factor IN (0, 1)),
    browser          TEXT    NOT NULL,
    country          TEXT    NOT NULL
) STRICT;
CREATE INDEX sessions_account ON sessions (account, created_at);

CREATE TABLE challenges (
    digest     BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    account    TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    tries      INTEGER NOT NULL
) STRICT;
CREATE INDEX challenges_account ON challenges (account);

CREATE TABLE devices (
    account    TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    created_at INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    PRIMARY KEY (account, digest)
) STRICT;

CREATE TABLE totp (
    id           TEXT    NOT NULL PRIMARY KEY,
    account      TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    key_id       TEXT    NOT NULL,
    box          BLOB    NOT NULL,
    last_step    INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    confirmed_at INTEGER
) STRICT;
CREATE UNIQUE INDEX totp_pending ON totp (account) WHERE confirmed_at IS NULL;
CREATE UNIQUE INDEX totp_confirmed ON totp (account) WHERE confirmed_at IS NOT NULL;

CREATE TABLE recovery_codes (
    account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    digest  BLOB NOT NULL CHECK (length(digest) = 32),
    used_at INTEGER,
    PRIMARY KEY (account, digest)
) STRICT;

CREATE TABLE links (
    digest     BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    account    TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    purpose    TEXT    NOT NULL,
    email      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX links_account ON links (account, purpose);

CREATE TABLE tokens (
    id           TEXT    NOT NULL PRIMARY KEY,
    account      TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    digest       BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    name         TEXT    NOT NULL,
    hint         TEXT    NOT NULL,
    scopes       TEXT    NOT NULL, -- a JSON list
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;
CREATE INDEX tokens_account ON tokens (account, created_at);

CREATE TABLE throttles (
    key      TEXT    NOT NULL PRIMARY KEY, -- a keyed hash
    failures INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX throttles_last ON throttles (last_at);

-- An event outlives its account: it goes by its own retention.
CREATE TABLE events (
    id         TEXT    NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    account    TEXT,
    ip         BLOB CHECK (length(ip) IN (4, 16)),
    user_agent TEXT    NOT NULL,
    country    TEXT    NOT NULL,
    request_id TEXT    NOT NULL
) STRICT;
CREATE INDEX events_at ON events (at, id);
CREATE INDEX events_account ON events (account, at, id);
CREATE INDEX events_ip ON events (ip, at);

CREATE TABLE holds (
    id          TEXT    NOT NULL PRIMARY KEY,
    reference   TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    filter      TEXT    NOT NULL, -- JSON
    review_at   INTEGER NOT NULL,
    placed_by   TEXT    NOT NULL,
    placed_at   INTEGER NOT NULL,
    released_at INTEGER,
    released_by TEXT
) STRICT;

CREATE TABLE event_holds (
    event TEXT NOT NULL REFERENCES events (id) ON DELETE RESTRICT,
    hold  TEXT NOT NULL REFERENCES holds (id) ON DELETE RESTRICT,
    PRIMARY KEY (event, hold)
) STRICT;
CREATE INDEX event_holds_hold ON event_holds (hold);

-- Actor and subject are no references: the log outlives accounts.
CREATE TABLE audit (
    seq     INTEGER NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    query   TEXT    NOT NULL,
    prev    BLOB    NOT NULL CHECK (length(prev) = 32),
    hash    BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- The log only grows, by rows that follow the newest. The first trigger also stops
-- INSERT OR REPLACE, for which the third would not fire.
-- +goose StatementBegin
CREATE TRIGGER audit_grows BEFORE INSERT ON audit
WHEN NEW.seq <> coalesce((SELECT max(seq) FROM audit), 0) + 1
  OR NEW.prev <> coalesce((SELECT hash FROM audit ORDER BY seq DESC LIMIT 1), zeroblob(32))
BEGIN
    SELECT RAISE(ABORT, 'a row of the audit log follows the newest');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_keeps BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- +goose StatementEnd

CREATE TABLE mails (
    id          TEXT    NOT NULL PRIMARY KEY,
    account     TEXT REFERENCES accounts (id) ON DELETE CASCADE,
    recipient   TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    data        TEXT    NOT NULL, -- JSON; empty once it is sent or given up
    created_at  INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    sent_at     INTEGER,
    given_up_at INTEGER
) STRICT;
CREATE INDEX mails_due ON mails (due_at) WHERE sent_at IS NULL AND given_up_at IS NULL;
CREATE INDEX mails_account ON mails (account, kind, created_at);
