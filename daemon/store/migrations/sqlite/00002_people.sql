-- Security keys of people stand among the tokens, with what they registered; and the keys that sign statements.

-- +goose Up
ALTER TABLE tokens ADD COLUMN credential TEXT NOT NULL DEFAULT '';  -- JSON, of security keys

CREATE TABLE signing_keys (
	id      TEXT PRIMARY KEY,
	private BLOB NOT NULL,                -- sealed
	created INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE signing_keys;
ALTER TABLE tokens DROP COLUMN credential;
