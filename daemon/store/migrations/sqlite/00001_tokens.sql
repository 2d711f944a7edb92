-- Tokens for one-time codes and the people that they belong to. Times are milliseconds since 1970.

-- +goose Up
CREATE TABLE users (
	name         TEXT PRIMARY KEY,
	failures     INTEGER NOT NULL DEFAULT 0,
	locked_until INTEGER NOT NULL DEFAULT 0,
	last_used    INTEGER NOT NULL DEFAULT 0,
	created      INTEGER NOT NULL
) STRICT;

CREATE TABLE tokens (
	serial       TEXT PRIMARY KEY,
	manufacturer TEXT NOT NULL,
	model        TEXT NOT NULL,
	issuer       TEXT NOT NULL,
	kind         TEXT NOT NULL,
	hash         TEXT NOT NULL,
	digits       INTEGER NOT NULL,
	period       INTEGER NOT NULL,
	epoch        INTEGER NOT NULL,
	suite        TEXT NOT NULL,
	seed         BLOB NOT NULL,            -- sealed
	fingerprint  BLOB NOT NULL,            -- keyed hash of the seed
	state        TEXT NOT NULL,
	owner        TEXT REFERENCES users (name),
	next         INTEGER NOT NULL,         -- the first counter or step that may still be accepted
	drift        INTEGER NOT NULL,         -- of the token's clock, in steps
	failures     INTEGER NOT NULL,
	locked_until INTEGER NOT NULL,
	last_used    INTEGER NOT NULL,
	starts       INTEGER NOT NULL,         -- 0: at once
	expires      INTEGER NOT NULL,         -- 0: never
	imported     INTEGER NOT NULL,
	changed      INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_owner ON tokens (owner);
CREATE INDEX tokens_fingerprint ON tokens (fingerprint);

CREATE TABLE recovery_codes (
	owner   TEXT NOT NULL REFERENCES users (name),
	hash    BLOB NOT NULL,
	expires INTEGER NOT NULL,
	used    INTEGER NOT NULL DEFAULT 0,    -- when; 0: not yet
	PRIMARY KEY (owner, hash)
) STRICT;

-- +goose Down
DROP TABLE recovery_codes;
DROP TABLE tokens;
DROP TABLE users;
