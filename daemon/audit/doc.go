// Package audit keeps a log that only grows and whose lines hang together: who, with which
// program, did what on which key for which site, and how it ended.
//
// It is for the daemon, which appends, and for `fob audit`, which reads and checks. A [Record]
// has fields for facts and none for payloads, so that a PIN, a code or a signature has no place
// to go to.
//
// # The files
//
// The log is a folder with files audit-000001.jsonl, audit-000002.jsonl and so on. Lines are only
// ever put at the end of the last one; when it is full, the next number is begun. No file is
// renamed, so that a crash at any moment leaves nothing to be sorted out but the last line.
//
// Each line is one JSON object of ASCII and UTF-8 without blanks between its members, ended by a
// line feed:
//
//	{"seq":7,"time":"2026-05-01T08:00:00.5Z","operation":"touch",…,"prev":"<hex>","hash":"<hex>"}
//
// seq counts from 1 through all files without a gap. Members that are empty are left out; the
// order of the others is that of [Record].
//
// # The chain
//
// Take a line without its line feed as bytes.
//
//   - Its last 75 bytes are ,"hash":"H"} where H is 64 lower-case hex digits.
//   - Call what is in front of them B. The last 74 bytes of B are ,"prev":"P" where P is 64
//     lower-case hex digits.
//   - H must be the SHA-256 of the 14 bytes "fobd-audit-v1\n", the 32 bytes that P stands for,
//     and B, one after the other.
//   - P must be the H of the line before, in the same file or, for the first line of a file, in
//     the one with the number before. The very first line has 64 zeros.
//
// A checker needs no JSON parser for that. This one takes the files' names in their order:
//
//	import hashlib, sys
//	want = None
//	for name in sys.argv[1:]:
//	    for number, line in enumerate(open(name, "rb"), 1):
//	        body, prev, have = line[:-76], line[-141:-77], line[-67:-3]
//	        hash = hashlib.sha256(b"fobd-audit-v1\n" + bytes.fromhex(prev.decode()) + body)
//	        if want not in (None, prev) or hash.hexdigest().encode() != have:
//	            sys.exit(f"{name}:{number}: broken")
//	        want = have
//	print(want.decode())
//
// # The log's own records
//
// The first line of every file is a record "audit-begin" with the version of this format and the
// number of the file. "audit-torn" says that bytes after the last whole line were moved to a file
// of their own, after a crash or because a disk had lost them. "audit-gap" says how many records
// could not be written, and why. "audit-drop" says up to which number old files are deleted;
// what is left then begins with a file whose "prev" nobody can check any more.
//
// # What it can and cannot show
//
// A line that was changed, removed, inserted, repeated or moved breaks the chain. Nothing in the
// files shows that the end was cut off, or that someone with the right to write them made a new
// chain from some line on: for that, keep a [Head] from time to time where they can't reach it,
// for example in the journal of another machine, and hand it to [Verify].
package audit
