package daemon

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/webauthn"
)

// hasBlobArray is what a wish for a key with a large-blob array (CTAP 2.3, section 6.10) looks
// at.
func hasBlobArray(ctx context.Context, s *session) (bool, error) {
	extension, array := webauthn.LargeBlobs(s.info)
	switch {
	case s.client != nil && array:
		return managesCredentials(ctx, s)
	case extension:
		return false, s.lacks("keeps each large blob with its credential and does not list them", "read one with blob-get")
	}
	return false, s.lacks("has no room for large blobs", "use another key")
}

// hasBlobs is what a wish for a key with large blobs of either form looks at.
func hasBlobs(ctx context.Context, s *session) (bool, error) {
	if extension, _ := webauthn.LargeBlobs(s.info); s.client != nil && extension {
		return true, nil
	}
	return hasBlobArray(ctx, s)
}

// blobArray is a key's large-blob array.
type blobArray struct {
	*credentials
	entries []ctap2.LargeBlob
	size    int  // bytes, serialized
	damaged bool // it counts as empty (CTAP 2.3, section 6.10.2)
}

// blobs reads the array.
func (k *credentials) blobs(ctx context.Context) (*blobArray, error) {
	b := &blobArray{credentials: k}
	_, err := exchange(k.session, api.PromptTouch, func() (_ struct{}, err error) {
		b.entries, b.size, err = k.client.LargeBlobArray(ctx, k.info)
		return struct{}{}, err
	})
	if errors.Is(err, ctap2.ErrLargeBlobDamaged) {
		b.damaged, err = true, nil
	}
	return b, err
}

// capacity is the size of the largest array, in bytes.
func (s *session) capacity() uint {
	return max(s.info.MaxSerializedLargeBlobArray, ctap2.MinLargeBlobArray)
}

// write replaces the array.
func (b *blobArray) write(ctx context.Context, entries []ctap2.LargeBlob) error {
	serialized, err := ctap2.MarshalLargeBlobArray(entries)
	if err != nil {
		return err
	}
	if most := b.capacity(); uint(len(serialized)) > most {
		return &api.Error{
			Code: api.CodeBlobsFull, Key: b.key.ID(),
			Message: fmt.Sprintf("%s has room for %d bytes of large blobs, and %d are needed", b.key.Name(), most, len(serialized)),
			Hint:    "delete a blob, or remove those of no credential with blob-collect",
		}
	}
	_, err = exchange(b.session, api.PromptTouch, func() (struct{}, error) {
		return struct{}{}, b.client.SetLargeBlobArray(ctx, b.info, b.token, entries)
	})
	if err == nil {
		b.entries, b.size, b.damaged = entries, len(serialized), false
	}
	return err
}

// withArray opens a key with an array, has the person verified, reads the array, and runs do.
func (c *call) withArray(ctx context.Context, key string, permission ctap2.Permission, allowLast bool, do func(b *blobArray) error) error {
	s, err := c.choose(ctx, key, wish{serves: hasBlobArray})
	if err != nil {
		return err
	}
	defer s.close()
	return s.inArray(ctx, permission, allowLast, do)
}

func (s *session) inArray(ctx context.Context, permission ctap2.Permission, allowLast bool, do func(b *blobArray) error) error {
	k, err := s.manage(ctx, permission, "", allowLast)
	if err != nil {
		return err
	}
	defer k.token.Wipe()
	b, err := k.blobs(ctx)
	if err != nil {
		return err
	}
	return do(b)
}

// owners are the credentials that can have blobs.
func (k *credentials) owners(ctx context.Context) (list []*stored, keys [][]byte, err error) {
	sites, err := k.sites(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	for i := range sites {
		for j := range sites[i].credentials {
			if one := (&stored{sites[i], &sites[i].credentials[j]}); len(one.LargeBlobKey) > 0 {
				list, keys = append(list, one), append(keys, one.LargeBlobKey)
			}
		}
	}
	return list, keys, nil
}

// blobList is the operation blob-list.
func (c *call) blobList(ctx context.Context, r *api.BlobListRequest) (result *api.BlobListResult, err error) {
	err = c.withArray(ctx, r.Key, ctap2.PermissionCredentialRead, r.AllowLastRetry, func(b *blobArray) error {
		owners, _, err := b.owners(ctx)
		if err != nil {
			return err
		}
		result = &api.BlobListResult{
			Key: describe(b.key), Blobs: make([]api.Blob, 0, len(b.entries)),
			Used: uint(b.size), Capacity: b.capacity(), Damaged: b.damaged,
		}
		for i, entry := range b.entries {
			blob := b.describe(i)
			for _, owner := range owners {
				if _, err := entry.Open(owner.LargeBlobKey); !errors.Is(err, ctap2.ErrBlobKey) {
					owner.own(&blob)
					break
				}
			}
			result.Blobs = append(result.Blobs, blob)
		}
		return nil
	})
	return result, err
}

// describe is an entry as it crosses the socket.
func (b *blobArray) describe(i int) api.Blob {
	return api.Blob{Index: i, Size: uint(b.entries[i].OrigSize), Stored: uint(len(b.entries[i].Ciphertext))}
}

// own says whose a blob is.
func (c *stored) own(blob *api.Blob) {
	blob.RPID, blob.Credential, blob.UserName = c.RP.ID, c.id(), c.User.Name
}

// blobCollect is the operation blob-collect (CTAP 2.3, section 6.10.6).
func (c *call) blobCollect(ctx context.Context, r *api.BlobCollectRequest) (result *api.BlobCollectResult, err error) {
	permission := ctap2.PermissionCredentialManagement | ctap2.PermissionLargeBlobWrite
	err = c.withArray(ctx, r.Key, permission, r.AllowLastRetry, func(b *blobArray) error {
		_, keys, err := b.owners(ctx)
		if err != nil {
			return err
		}
		rest, gone, err := ctap2.CollectLargeBlobs(b.entries, keys)
		if err != nil {
			return &keyError{b.key, err}
		}
		if gone > 0 {
			question := fmt.Sprintf("Remove %s that no credential of %s opens? Nobody can read them, and they cannot be brought back.",
				plural(uint(gone), "large blob", "large blobs"), b.key.Name())
			if err := b.confirm(ctx, question); err != nil {
				return err
			}
			if err := b.write(ctx, rest); err != nil {
				return err
			}
		}
		result = &api.BlobCollectResult{Key: describe(b.key), Removed: gone, Used: uint(b.size), Capacity: b.capacity()}
		return nil
	})
	return result, err
}

// blobAction is what is done to the blob of one credential.
type blobAction struct {
	api.BlobRequest
	// change makes the new array; nil only reads.
	change func(b *blobArray, of *stored) ([]ctap2.LargeBlob, error)
	// direct is the same for a key with the extension largeBlob (CTAP 2.3, section 12.4).
	direct func() (*ctap2.LargeBlobInput, error)
	// question asks for agreement; %s is the credential. Empty for none.
	question string
}

// noBlob is the error for a credential without a blob.
func (s *session) noBlob(of *stored, damaged bool) error {
	e := &api.Error{
		Code: api.CodeNotFound, Message: fmt.Sprintf("%s has no large blob of %s", s.key.Name(), of.title()),
		Hint: "blob-set writes one", Key: s.key.ID(),
	}
	if damaged {
		e.Message = fmt.Sprintf("the large blobs of %s are damaged and cannot be read", s.key.Name())
		e.Hint = "blob-set begins anew, without those that are there"
	}
	return e
}

// blobOf does something to the blob of one credential, which it returns with its data before.
func (c *call) blobOf(ctx context.Context, what *blobAction) (*api.BlobResult, error) {
	s, err := c.choose(ctx, what.Key, wish{serves: hasBlobs})
	if err != nil {
		return nil, err
	}
	defer s.close()
	if extension, _ := webauthn.LargeBlobs(s.info); extension {
		return s.directBlob(ctx, what)
	}
	permission := ctap2.PermissionCredentialRead
	if what.change != nil {
		permission = ctap2.PermissionCredentialManagement | ctap2.PermissionLargeBlobWrite
	}
	result := &api.BlobResult{}
	err = s.inArray(ctx, permission, what.AllowLastRetry, func(b *blobArray) error {
		of, err := b.find(ctx, what.RPID, what.Credential)
		if err != nil {
			return err
		}
		if len(of.LargeBlobKey) == 0 {
			return s.cannotHave(of)
		}
		found, err := b.look(of, result)
		if what.change == nil {
			if err == nil && !found {
				err = s.noBlob(of, b.damaged)
			}
			return err
		}
		entries, err := what.change(b, of)
		if err != nil {
			return err
		}
		if err := s.agree(ctx, what, of); err != nil {
			return err
		}
		if err := b.write(ctx, entries); err != nil {
			return err
		}
		_, err = b.look(of, result)
		return err
	})
	if err != nil {
		return nil, err
	}
	result.Key = describe(s.key)
	return result, nil
}

// look reads the blob of a credential; if there is none, the result stays.
func (b *blobArray) look(of *stored, result *api.BlobResult) (found bool, err error) {
	for i := range b.entries {
		data, err := b.entries[i].Open(of.LargeBlobKey)
		switch {
		case errors.Is(err, ctap2.ErrBlobKey):
			continue
		case err != nil:
			return true, &keyError{b.key, err}
		}
		result.Blob, result.Data = b.describe(i), data
		of.own(&result.Blob)
		return true, nil
	}
	return false, nil
}

// cannotHave is the error for a credential without room for a blob.
func (s *session) cannotHave(of *stored) error {
	return &api.Error{
		Code: api.CodeUnsupported, Message: fmt.Sprintf("the credential of %s has no room for a large blob", of.title()),
		Hint: "register with the extension largeBlob", Key: s.key.ID(),
	}
}

// agree asks for agreement where an action wants it.
func (s *session) agree(ctx context.Context, what *blobAction, of *stored) error {
	if what.question == "" {
		return nil
	}
	return s.confirm(ctx, fmt.Sprintf(what.question, of.title(), s.key.Name()))
}

// directBlob is blobOf for a key with the extension largeBlob, which reads and writes with an
// assertion. When the request does not say whose site it is, the person is verified twice: to
// find the credential, and to sign with it.
func (s *session) directBlob(ctx context.Context, what *blobAction) (*api.BlobResult, error) {
	of, token, err := s.locate(ctx, what)
	if token != nil {
		defer token.Wipe()
	}
	if err != nil {
		return nil, err
	}
	s.c.rpID = of.RP.ID
	if err := s.agree(ctx, what, of); err != nil {
		return nil, err
	}
	read := true
	input := &ctap2.LargeBlobInput{Read: &read}
	if what.direct != nil {
		if input, err = what.direct(); err != nil {
			return nil, err
		}
		if most := max(s.info.MessageSize(), ctap2.DefaultMaxMsgSize) - webauthn.OtherMembers; uint(len(*input.Write)) > most {
			return nil, &api.Error{
				Code: api.CodeBlobsFull, Message: fmt.Sprintf("%s takes blobs of %d bytes, and this one has %d after compression", s.key.Name(), most, len(*input.Write)),
				Hint: "write less", Key: s.key.ID(),
			}
		}
	}
	hash := sha256.Sum256([]byte("fobd"))
	request := &ctap2.GetAssertionRequest{
		// Nobody knows the challenge of this hash: the signature is of no use.
		RPID: of.RP.ID, ClientDataHash: hash[:],
		AllowList:  []ctap2.CredentialDescriptor{{ID: of.CredentialID.ID, Type: of.CredentialID.Type}},
		Extensions: &ctap2.GetAssertionExtensions{LargeBlob: input},
	}
	if token != nil {
		request.Authorize(token)
	}
	response, err := exchange(s, api.PromptTouch, func() (*ctap2.GetAssertionResponse, error) { return s.client.GetAssertion(ctx, request) })
	if err != nil {
		return nil, err
	}
	unsigned, err := response.Unsigned()
	if err != nil {
		return nil, &keyError{s.key, err}
	}
	result := &api.BlobResult{Key: describe(s.key)}
	of.own(&result.Blob)
	out := unsigned.LargeBlob
	switch {
	case what.direct != nil:
		if out == nil || out.Written == nil || !*out.Written {
			return nil, &api.Error{
				Code: api.CodeBlobsFull, Message: fmt.Sprintf("%s did not store the large blob of %s", s.key.Name(), of.title()),
				Hint: "write less, or register with the extension largeBlob first", Key: s.key.ID(),
			}
		}
		result.Blob.Size, result.Blob.Stored = uint(*input.OriginalSize), uint(len(*input.Write))
	case out == nil || out.Blob == nil || out.OriginalSize == nil:
		return nil, s.noBlob(of, false)
	default:
		result.Blob.Size, result.Blob.Stored = uint(*out.OriginalSize), uint(len(*out.Blob))
		if result.Data, err = ctap2.DecompressBlob(*out.Blob, *out.OriginalSize); err != nil {
			return nil, &keyError{s.key, err}
		}
	}
	return result, nil
}

// locate finds the credential and gets the person verified for an assertion with it.
func (s *session) locate(ctx context.Context, what *blobAction) (of *stored, token *ctap2.Token, err error) {
	if _, err := managesCredentials(ctx, s); err != nil {
		return nil, nil, err
	}
	if what.RPID == "" {
		k, err := s.manage(ctx, ctap2.PermissionCredentialRead, "", what.AllowLastRetry)
		if err != nil {
			return nil, nil, err
		}
		of, err = k.find(ctx, "", what.Credential)
		k.token.Wipe()
		if err != nil {
			return nil, nil, err
		}
		if sha256.Sum256([]byte(of.RP.ID)) != of.RPIDHash {
			return nil, nil, &api.Error{
				Code: api.CodeInvalidRequest, Message: fmt.Sprintf("%s does not tell the whole name of the site", s.key.Name()),
				Hint: "give rpId", Key: s.key.ID(),
			}
		}
		token, err = s.permit(ctx, ctap2.PermissionGetAssertion, of.RP.ID, what.AllowLastRetry, false)
		return of, token, err
	}
	k, err := s.manage(ctx, ctap2.PermissionCredentialManagement|ctap2.PermissionGetAssertion, what.RPID, what.AllowLastRetry)
	if err != nil {
		return nil, nil, err
	}
	// A token for one site does not list sites (CTAP 2.3, section 6.8.3).
	one, err := k.site(ctx, ctap2.ManagedRP{RP: ctap2.RP{ID: what.RPID}, RPIDHash: sha256.Sum256([]byte(what.RPID))})
	if err == nil {
		of, err = s.pick([]site{one}, what.Credential)
	}
	return of, k.token, err
}

// blobGet is the operation blob-get (CTAP 2.3, sections 6.10.4 and 12.4).
func (c *call) blobGet(ctx context.Context, r *api.BlobRequest) (*api.BlobResult, error) {
	return c.blobOf(ctx, &blobAction{BlobRequest: *r})
}

// blobSet is the operation blob-set (CTAP 2.3, sections 6.10.5 and 12.4).
func (c *call) blobSet(ctx context.Context, r *api.BlobSetRequest) (*api.BlobResult, error) {
	result, err := c.blobOf(ctx, &blobAction{
		BlobRequest: api.BlobRequest{Key: r.Key, RPID: r.RPID, Credential: r.Credential, AllowLastRetry: r.AllowLastRetry},
		change: func(b *blobArray, of *stored) ([]ctap2.LargeBlob, error) {
			return ctap2.PutLargeBlob(b.entries, of.LargeBlobKey, r.Data)
		},
		direct: func() (*ctap2.LargeBlobInput, error) { return blobInput(r.Data) },
	})
	return withoutData(result, err)
}

// blobInput is what writes a blob with the extension largeBlob (CTAP 2.3, section 12.4).
func blobInput(data []byte) (*ctap2.LargeBlobInput, error) {
	compressed, err := ctap2.CompressBlob(data)
	if err != nil {
		return nil, err
	}
	size := uint64(len(data))
	return &ctap2.LargeBlobInput{Write: &compressed, OriginalSize: &size}, nil
}

// blobDelete is the operation blob-delete.
func (c *call) blobDelete(ctx context.Context, r *api.BlobRequest) (*api.BlobResult, error) {
	result, err := c.blobOf(ctx, &blobAction{
		BlobRequest: *r,
		question:    "Delete the large blob of %s from %s? It cannot be brought back.",
		change: func(b *blobArray, of *stored) ([]ctap2.LargeBlob, error) {
			rest, ok, err := ctap2.DeleteLargeBlob(b.entries, of.LargeBlobKey)
			if err == nil && !ok {
				err = b.noBlob(of, b.damaged)
			}
			return rest, err
		},
		// The extension has no other way to delete than an empty blob.
		direct: func() (*ctap2.LargeBlobInput, error) { return blobInput(nil) },
	})
	return withoutData(result, err)
}

// withoutData is the answer after a change.
func withoutData(result *api.BlobResult, err error) (*api.BlobResult, error) {
	if err != nil {
		return nil, err
	}
	result.Data = nil
	return result, nil
}
