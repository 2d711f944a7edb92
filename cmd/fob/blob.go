package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fobd/fobd/daemon/api"
)

// maxBlob bounds what is read for a blob, in bytes: more than any key holds.
const maxBlob = 1 << 20

func (a *app) blobCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "blob",
		Short: "Look after the large blobs of a key",
		Long: `A key can keep a blob of data, such as an SSH certificate, with a credential: sealed for
that credential, compressed, and within the few kilobytes that the key has in all. The
credential must have been made with room for one (the extension largeBlob of WebAuthn).`,
		Args: cobra.NoArgs,
		RunE: needCommand,
	}
	cmd.AddCommand(a.blobListCommand(), a.blobGetCommand(), a.blobSetCommand(), a.blobDeleteCommand(), a.blobCollectCommand())
	return cmd
}

func (a *app) blobListCommand() *cobra.Command {
	var req api.BlobListRequest
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the blobs of a key and whose they are",
		Args:  cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var r api.BlobListResult
			if err := a.do(ctx, api.OpBlobList, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error {
				if len(r.Blobs) > 0 {
					rows := []row{{"SITE", "USER", "CREDENTIAL", "SIZE", "STORED"}}
					for _, b := range r.Blobs {
						id := "-"
						if len(b.Credential) > 0 {
							id = shortID(b.Credential)
						}
						rows = append(rows, row{orDash(b.RPID), orDash(b.UserName), id, fmt.Sprint(b.Size), fmt.Sprint(b.Stored)})
					}
					if err := table(a.out, rows...); err != nil {
						return err
					}
				}
				if r.Damaged {
					a.note("fob: the blobs of %s are damaged; the key counts them as none", keyName(r.Key))
				}
				a.note("fob: %s uses %d of %d bytes", keyName(r.Key), r.Used, r.Capacity)
				return nil
			})
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	return cmd
}

func (a *app) blobGetCommand() *cobra.Command {
	var req api.BlobRequest
	var output string
	cmd := &cobra.Command{
		Use:     "get CREDENTIAL",
		Short:   "Print the blob of a credential",
		Long:    "get prints the blob as it is, or writes it to a file. " + namesCredential,
		Example: "  fob blob get alice --output id-cert.pub",
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			if f, ok := a.out.(*os.File); ok && output == "" && !a.json && term.IsTerminal(int(f.Fd())) {
				return usagef("a blob can be anything: give --output, or send it into a pipe")
			}
			req.Credential, req.TimeoutMS = args[0], a.milliseconds()
			var r api.BlobResult
			if err := a.do(ctx, api.OpBlobGet, req, &r); err != nil {
				return err
			}
			switch {
			case output != "":
				return writeSecretFile(output, r.Data)
			case a.json:
				return a.printJSON(r, "")
			}
			_, err := a.out.Write(r.Data)
			return err
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	siteFlag(cmd, &req.RPID)
	cmd.Flags().StringVarP(&output, "output", "o", "", "write the blob to this `file`, for you alone to read")
	return cmd
}

func (a *app) blobSetCommand() *cobra.Command {
	var req api.BlobSetRequest
	cmd := &cobra.Command{
		Use:     "set CREDENTIAL FILE|-",
		Short:   "Keep a file with a credential, as its blob",
		Long:    "set replaces the blob of a credential by a file, or by the standard input. " + namesCredential,
		Example: "  fob blob set alice id-cert.pub",
		Args:    cobra.ExactArgs(2),
		RunE: a.run(func(ctx context.Context, args []string) error {
			data, err := a.readFile(args[1], maxBlob)
			if err != nil {
				return err
			}
			req.Credential, req.Data, req.TimeoutMS = args[0], data, a.milliseconds()
			var r api.BlobResult
			if err := a.do(ctx, api.OpBlobSet, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error {
				return a.say("%s keeps %d bytes for %s", keyName(r.Key), len(data), orDash(r.Blob.RPID))
			})
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	siteFlag(cmd, &req.RPID)
	return cmd
}

func (a *app) blobDeleteCommand() *cobra.Command {
	var req api.BlobRequest
	cmd := &cobra.Command{
		Use:   "delete CREDENTIAL",
		Short: "Delete the blob of a credential",
		Long:  "delete asks first; the credential stays. " + namesCredential,
		Args:  cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			req.Credential, req.TimeoutMS = args[0], a.milliseconds()
			var r api.BlobResult
			if err := a.do(ctx, api.OpBlobDelete, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error { return a.say("%s keeps no blob for %s any more", keyName(r.Key), orDash(r.Blob.RPID)) })
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	siteFlag(cmd, &req.RPID)
	a.yesFlag(cmd, "delete it")
	return cmd
}

func (a *app) blobCollectCommand() *cobra.Command {
	var req api.BlobCollectRequest
	cmd := &cobra.Command{
		Use:   "collect",
		Short: "Delete the blobs that belong to no credential of the key",
		Long: `collect frees the room of blobs whose credential is gone. It asks first. A blob of a credential
that the key does not store can't be told from one without a credential.`,
		Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			req.TimeoutMS = a.milliseconds()
			var r api.BlobCollectResult
			if err := a.do(ctx, api.OpBlobCollect, req, &r); err != nil {
				return err
			}
			return a.answer(r, func() error {
				return a.say("deleted %s; %s uses %d of %d bytes", counted(r.Removed, "blob", "blobs"), keyName(r.Key), r.Used, r.Capacity)
			})
		}),
	}
	a.managed(cmd, &req.Key, &req.AllowLastRetry)
	a.yesFlag(cmd, "delete them")
	return cmd
}

// readFile reads a file, or the standard input for -, of at most limit bytes.
func (a *app) readFile(name string, limit int64) ([]byte, error) {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usagef("%w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	if err != nil {
		return nil, usagef("%s: %w", name, err)
	}
	return data, nil
}

// writeSecretFile writes a file that only its owner can read, whole or not at all.
func writeSecretFile(name string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".fob-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	return err
}
