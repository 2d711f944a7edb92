// Package ctaphid carries CTAP messages over HID reports: the packets, the
// channels a program opens on a key, and the key's own side.
//
// It is for programs that talk to security keys ([Open], [Channel]) and for
// programs that are one ([NewServer], [Server]). It knows nothing of what the
// messages say; [Channel] and [Authenticator] have the method sets by which the
// packages ctap2 and u2f send requests.
//
// The specification is CTAP 2.2, section 11.2 ("USB Human Interface Device"),
// which is also what U2F HID 1.2 became. Reports of 8 to 64 bytes are supported
// in both directions.
package ctaphid
