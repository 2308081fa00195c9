-- +goose Up
-- Times are microseconds since 1970 UTC, durations nanoseconds. NULL is "not yet" or "none".
-- Texts sort by their bytes, as they do in SQLite.

-- What is in the cluster keeps its account from being removed (RESTRICT, the default).
CREATE TABLE tenants (
    account    TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES accounts (id),
    namespace  TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at BIGINT           NOT NULL,
    ready_at   BIGINT,
    UNIQUE (account, namespace)
);

-- The references of two columns keep each account's things in its own namespace, and its
-- runs off other accounts' datasets.
CREATE TABLE datasets (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account        TEXT COLLATE "C" NOT NULL,
    namespace      TEXT COLLATE "C" NOT NULL,
    name           TEXT COLLATE "C" NOT NULL,
    uid            TEXT COLLATE "C" NOT NULL,
    after_training BIGINT           NOT NULL,
    max_age        BIGINT           NOT NULL,
    wish           TEXT COLLATE "C" NOT NULL,
    created_at     BIGINT           NOT NULL,
    wished_at      BIGINT           NOT NULL,
    seen           TEXT COLLATE "C" NOT NULL, -- JSON
    erased_at      BIGINT,
    receipt        TEXT COLLATE "C" NOT NULL,
    revision       BIGINT           NOT NULL,
    settled        BOOLEAN          NOT NULL, -- Dataset.Settled
    UNIQUE (namespace, id),
    UNIQUE (account, id),
    FOREIGN KEY (account, namespace) REFERENCES tenants (account, namespace)
);
CREATE INDEX datasets_account ON datasets (account, created_at, id);
CREATE INDEX datasets_unsettled ON datasets (wished_at, id) WHERE NOT settled;
CREATE INDEX datasets_live ON datasets (id) WHERE erased_at IS NULL;

CREATE TABLE files (
    dataset     TEXT COLLATE "C" NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
    path        TEXT COLLATE "C" NOT NULL,
    size        BIGINT           NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    upload      TEXT COLLATE "C" NOT NULL,
    part_size   BIGINT           NOT NULL,
    sha256      TEXT COLLATE "C" NOT NULL, -- empty until the file is complete
    PRIMARY KEY (dataset, path)
);

CREATE TABLE runs (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account    TEXT COLLATE "C" NOT NULL,
    namespace  TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    name_key   TEXT COLLATE "C" NOT NULL, -- the name in lower case, for searches
    dataset    TEXT COLLATE "C" NOT NULL,
    uid        TEXT COLLATE "C" NOT NULL,
    spec       TEXT COLLATE "C" NOT NULL, -- JSON
    wish       TEXT COLLATE "C" NOT NULL,
    created_at BIGINT           NOT NULL,
    wished_at  BIGINT           NOT NULL,
    seen       TEXT COLLATE "C" NOT NULL, -- JSON
    state      TEXT COLLATE "C" NOT NULL, -- the state in it, for filters
    refused    TEXT COLLATE "C" NOT NULL,
    gone_at    BIGINT,
    revision   BIGINT           NOT NULL,
    settled    BOOLEAN          NOT NULL, -- Run.Settled
    UNIQUE (namespace, id),
    FOREIGN KEY (account, namespace) REFERENCES tenants (account, namespace),
    FOREIGN KEY (account, dataset) REFERENCES datasets (account, id)
);
CREATE INDEX runs_account ON runs (account, created_at, id);
CREATE INDEX runs_dataset ON runs (dataset, created_at, id);
CREATE INDEX runs_unsettled ON runs (wished_at, id) WHERE NOT settled;
CREATE INDEX runs_live ON runs (id) WHERE gone_at IS NULL AND refused = '';

-- The ID of the run that an account will start next.
CREATE TABLE drafts (
    account TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    id      TEXT COLLATE "C" NOT NULL
);

CREATE TABLE receipts (
    uid       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account   TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name      TEXT COLLATE "C" NOT NULL,
    digest    TEXT COLLATE "C" NOT NULL,
    envelope  BYTEA            NOT NULL,
    erased_at BIGINT           NOT NULL
);
CREATE INDEX receipts_account ON receipts (account, erased_at, uid);

-- Which mails went out for which run or dataset.
CREATE TABLE notices (
    subject  TEXT COLLATE "C" NOT NULL,
    kind     TEXT COLLATE "C" NOT NULL,
    taken_at BIGINT           NOT NULL,
    PRIMARY KEY (subject, kind)
);

CREATE TABLE unwanted_mails (
    account TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account, kind)
);
