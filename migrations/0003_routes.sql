-- Outbound routes: which trunks a number goes by.
CREATE TABLE routes (
    name     TEXT PRIMARY KEY NOT NULL,
    document TEXT NOT NULL
);
