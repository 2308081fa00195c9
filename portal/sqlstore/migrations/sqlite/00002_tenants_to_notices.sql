-- +goose Up
-- Times are microseconds since 1970 UTC, durations nanoseconds. NULL is "not yet" or "none".

-- What is in the cluster keeps its account from being removed (RESTRICT, the default).
CREATE TABLE tenants (
    account    TEXT    NOT NULL PRIMARY KEY REFERENCES accounts (id),
    namespace  TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    ready_at   INTEGER,
    UNIQUE (account, namespace)
) STRICT;

-- The references of two columns keep each account's things in its own namespace, and its
-- runs off other accounts' datasets.
CREATE TABLE datasets (
    id             TEXT    NOT NULL PRIMARY KEY,
    account        TEXT    NOT NULL,
    namespace      TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    uid            TEXT    NOT NULL,
    after_training INTEGER NOT NULL,
    max_age        INTEGER NOT NULL,
    wish           TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    wished_at      INTEGER NOT NULL,
    seen           TEXT    NOT NULL, -- JSON
    erased_at      INTEGER,
    receipt        TEXT    NOT NULL,
    revision       INTEGER NOT NULL,
    settled        INTEGER NOT NULL CHECK (settled IN (0, 1)), -- Dataset.Settled
    UNIQUE (namespace, id),
    UNIQUE (account, id),
    FOREIGN KEY (account, namespace) REFERENCES tenants (account, namespace)
) STRICT;
CREATE INDEX datasets_account ON datasets (account, created_at, id);
CREATE INDEX datasets_unsettled ON datasets (wished_at, id) WHERE NOT settled;
CREATE INDEX datasets_live ON datasets (id) WHERE erased_at IS NULL;

CREATE TABLE files (
    dataset     TEXT    NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
    path        TEXT    NOT NULL,
    size        INTEGER NOT NULL,
    fingerprint TEXT    NOT NULL,
    upload      TEXT    NOT NULL,
    part_size   INTEGER NOT NULL,
    sha256      TEXT    NOT NULL, -- empty until the file is complete
    PRIMARY KEY (dataset, path)
) STRICT;

CREATE TABLE runs (
    id         TEXT    NOT NULL PRIMARY KEY,
    account    TEXT    NOT NULL,
    namespace  TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    name_key   TEXT    NOT NULL, -- the name in lower case, for searches
    dataset    TEXT    NOT NULL,
    uid        TEXT    NOT NULL,
    spec       TEXT    NOT NULL, -- JSON
    wish       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    wished_at  INTEGER NOT NULL,
    seen       TEXT    NOT NULL, -- JSON
    state      TEXT    NOT NULL, -- the state in it, for filters
    refused    TEXT    NOT NULL,
    gone_at    INTEGER,
    revision   INTEGER NOT NULL,
    settled    INTEGER NOT NULL CHECK (settled IN (0, 1)), -- Run.Settled
    UNIQUE (namespace, id),
    FOREIGN KEY (account, namespace) REFERENCES tenants (account, namespace),
    FOREIGN KEY (account, dataset) REFERENCES datasets (account, id)
) STRICT;
CREATE INDEX runs_account ON runs (account, created_at, id);
CREATE INDEX runs_dataset ON runs (dataset, created_at, id);
CREATE INDEX runs_unsettled ON runs (wished_at, id) WHERE NOT settled;
CREATE INDEX runs_live ON runs (id) WHERE gone_at IS NULL AND refused = '';

-- The ID of the run that an account will start next.
CREATE TABLE drafts (
    account TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    id      TEXT NOT NULL
) STRICT;

CREATE TABLE receipts (
    uid       TEXT    NOT NULL PRIMARY KEY,
    account   TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name      TEXT    NOT NULL,
    digest    TEXT    NOT NULL,
    envelope  BLOB    NOT NULL,
    erased_at INTEGER NOT NULL
) STRICT;
CREATE INDEX receipts_account ON receipts (account, erased_at, uid);

-- Which mails went out for which run or dataset.
CREATE TABLE notices (
    subject  TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    taken_at INTEGER NOT NULL,
    PRIMARY KEY (subject, kind)
) STRICT;

CREATE TABLE unwanted_mails (
    account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind    TEXT NOT NULL,
    PRIMARY KEY (account, kind)
) STRICT;
