-- Users who register, and where they are reached: as JSON in TEXT.

CREATE TABLE users (
    name     TEXT PRIMARY KEY NOT NULL,
    document TEXT NOT NULL
);

-- A user's bindings, all in one row; those who have none have no row.
CREATE TABLE registrations (
    name     TEXT PRIMARY KEY NOT NULL,
    document TEXT NOT NULL
);
