-- What must outlive the process. Portable: the same file serves SQLite and PostgreSQL.
-- Times are microseconds since the Unix epoch; documents are JSON in TEXT.

CREATE TABLE rules (
    name     TEXT PRIMARY KEY NOT NULL,
    priority BIGINT NOT NULL,
    enabled  BIGINT NOT NULL,
    document TEXT NOT NULL
);

CREATE TABLE subscriptions (
    name     TEXT PRIMARY KEY NOT NULL,
    document TEXT NOT NULL
);

CREATE TABLE trunks (
    name     TEXT PRIMARY KEY NOT NULL,
    priority BIGINT NOT NULL,
    document TEXT NOT NULL
);

CREATE TABLE calls (
    id      TEXT PRIMARY KEY NOT NULL,
    summary TEXT NOT NULL,
    started BIGINT NOT NULL,
    ended   BIGINT
);
CREATE INDEX calls_by_start ON calls (started, id);

CREATE TABLE timeline (
    call_id TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    seq     BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    kind    TEXT NOT NULL,
    text    TEXT NOT NULL,
    data    TEXT,
    PRIMARY KEY (call_id, seq)
);

-- The outbox. seq is the order of acceptance; order of delivery is kept per key.
CREATE TABLE events (
    seq             BIGINT PRIMARY KEY NOT NULL,
    id              TEXT NOT NULL,
    key             TEXT NOT NULL,
    kind            TEXT NOT NULL,
    url             TEXT NOT NULL,
    content_type    TEXT NOT NULL,
    headers         TEXT NOT NULL,
    body            TEXT NOT NULL,
    state           TEXT NOT NULL,
    attempts        BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    last_error      TEXT,
    created         BIGINT NOT NULL,
    settled         BIGINT
);
CREATE INDEX events_by_state ON events (state, seq);

-- First answers to repeatable requests. status is null while the first request is still at work.
CREATE TABLE repeatability (
    id          TEXT PRIMARY KEY NOT NULL,
    fingerprint TEXT NOT NULL,
    status      BIGINT,
    headers     TEXT,
    body        TEXT,
    expires     BIGINT NOT NULL
);
CREATE INDEX repeatability_by_expiry ON repeatability (expires);
