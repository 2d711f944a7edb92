-- Tokens for one-time codes and the people that they belong to. Times are milliseconds since 1970.

-- +goose Up
CREATE TABLE users (
	name         TEXT PRIMARY KEY,
	failures     BIGINT NOT NULL DEFAULT 0,
	locked_until BIGINT NOT NULL DEFAULT 0,
	last_used    BIGINT NOT NULL DEFAULT 0,
	created      BIGINT NOT NULL
);

CREATE TABLE tokens (
	serial       TEXT PRIMARY KEY,
	manufacturer TEXT NOT NULL,
	model        TEXT NOT NULL,
	issuer       TEXT NOT NULL,
	kind         TEXT NOT NULL,
	hash         TEXT NOT NULL,
	digits       BIGINT NOT NULL,
	period       BIGINT NOT NULL,
	epoch        BIGINT NOT NULL,
	suite        TEXT NOT NULL,
	seed         BYTEA NOT NULL,            -- sealed
	fingerprint  BYTEA NOT NULL,            -- keyed hash of the seed
	state        TEXT NOT NULL,
	owner        TEXT REFERENCES users (name),
	next         BIGINT NOT NULL,         -- the first counter or step that may still be accepted
	drift        BIGINT NOT NULL,         -- of the token's clock, in steps
	failures     BIGINT NOT NULL,
	locked_until BIGINT NOT NULL,
	last_used    BIGINT NOT NULL,
	starts       BIGINT NOT NULL,         -- 0: at once
	expires      BIGINT NOT NULL,         -- 0: never
	imported     BIGINT NOT NULL,
	changed      BIGINT NOT NULL
);
CREATE INDEX tokens_owner ON tokens (owner);
CREATE INDEX tokens_fingerprint ON tokens (fingerprint);

CREATE TABLE recovery_codes (
	owner   TEXT NOT NULL REFERENCES users (name),
	hash    BYTEA NOT NULL,
	expires BIGINT NOT NULL,
	used    BIGINT NOT NULL DEFAULT 0,    -- when; 0: not yet
	PRIMARY KEY (owner, hash)
);

-- +goose Down
DROP TABLE recovery_codes;
DROP TABLE tokens;
DROP TABLE users;
