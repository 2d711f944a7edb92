package ctap2

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// BioEnrollment sends one authenticatorBioEnrollment request as it is (CTAP 2.3, section 6.7), with
// preview as the prototype command of authenticators with [VersionFIDO21P].
func (c *Client) BioEnrollment(ctx context.Context, r *BioEnrollmentRequest, preview bool) (*BioEnrollmentResponse, error) {
	cmd := CmdBioEnrollment
	if preview {
		cmd = CmdBioEnrollmentPreview
	}
	resp := new(BioEnrollmentResponse)
	return reply(resp, c.do(ctx, command{cmd: cmd, sub: uint(r.Subcommand), params: r, empty: true}, resp))
}

// BioEnroller adds, lists and removes the fingerprints of an authenticator (CTAP 2.3, section 6.7).
type BioEnroller struct {
	c       *Client
	token   *Token
	preview bool
}

// BioEnroller gives the enroller of an authenticator that answered GetInfo with info. token has the
// permission be; it may be nil for [BioEnroller.SensorInfo] and [BioEnroller.Cancel]. The caller keeps
// it and wipes it after the last use. The error is [ErrNotSupported] when the authenticator has
// neither the command nor its prototype; whether there are fingerprints yet makes no difference.
func (c *Client) BioEnroller(info *Info, token *Token) (*BioEnroller, error) {
	b := &BioEnroller{c: c, token: token}
	if _, ok := info.Option(OptionBioEnroll); ok {
		return b, nil
	}
	if _, ok := info.Option(OptionBioPreview); ok {
		b.preview = true
		return b, nil
	}
	return nil, fmt.Errorf("%w: fingerprints", ErrNotSupported)
}

// SensorInfo is what an authenticator says about its fingerprint sensor (CTAP 2.3, section 6.7.3).
type SensorInfo struct {
	Kind          uint // [FingerprintKindTouch] or [FingerprintKindSwipe]
	MaxSamples    uint // good samples that an enrolment needs at most
	MaxNameLength uint // of a fingerprint's name, in bytes of UTF-8
}

// Modality asks what kind of biometry the authenticator has (CTAP 2.3, section 6.7.2):
// [ModalityFingerprint]. It needs no token.
func (b *BioEnroller) Modality(ctx context.Context) (uint, error) {
	resp, err := b.c.BioEnrollment(ctx, &BioEnrollmentRequest{GetModality: new(true)}, b.preview)
	if err != nil {
		return 0, err
	}
	if resp.Modality == 0 {
		return 0, fmt.Errorf("%w: bioEnrollment: no modality", ErrResponse)
	}
	return resp.Modality, nil
}

// SensorInfo asks about the sensor (CTAP 2.3, section 6.7.3). It needs no token.
func (b *BioEnroller) SensorInfo(ctx context.Context) (SensorInfo, error) {
	resp, err := b.send(ctx, SubGetFingerprintSensorInfo, nil, false)
	if err != nil {
		return SensorInfo{}, err
	}
	info := SensorInfo{Kind: resp.FingerprintKind, MaxSamples: resp.MaxCaptureSamples, MaxNameLength: resp.MaxTemplateNameLength}
	if info.MaxNameLength == 0 {
		info.MaxNameLength = DefaultMaxTemplateNameLength
	}
	return info, nil
}

// Enrollment is a fingerprint that is being enrolled. It is there once Remaining is 0.
type Enrollment struct {
	TemplateID []byte
	Status     SampleStatus // of the last sample
	Remaining  uint         // good samples still needed
}

// Begin starts an enrolment and waits for its first sample (CTAP 2.3, section 6.7.4). An enrolment
// that was going on is cancelled by the authenticator. timeout is how long the authenticator waits;
// with 0 it decides.
func (b *BioEnroller) Begin(ctx context.Context, timeout time.Duration) (*Enrollment, error) {
	var params *BioEnrollmentParams
	if ms := milliseconds(timeout); ms > 0 {
		params = &BioEnrollmentParams{TimeoutMilliseconds: ms}
	}
	resp, err := b.send(ctx, SubEnrollBegin, params, true)
	if err != nil {
		return nil, err
	}
	if len(resp.TemplateID) == 0 {
		return nil, fmt.Errorf("%w: bioEnrollment: no templateId", ErrResponse)
	}
	e := &Enrollment{TemplateID: resp.TemplateID}
	return reply(e, e.update(resp))
}

// Next waits for another sample and brings e up to date (CTAP 2.3, section 6.7.4).
func (b *BioEnroller) Next(ctx context.Context, e *Enrollment, timeout time.Duration) error {
	resp, err := b.send(ctx, SubEnrollCaptureNextSample, &BioEnrollmentParams{TemplateID: e.TemplateID, TimeoutMilliseconds: milliseconds(timeout)}, true)
	if err != nil {
		return err
	}
	return e.update(resp)
}

func (e *Enrollment) update(r *BioEnrollmentResponse) error {
	if r.LastEnrollSampleStatus == nil || r.RemainingSamples == nil {
		return fmt.Errorf("%w: bioEnrollment: no lastEnrollSampleStatus or remainingSamples", ErrResponse)
	}
	e.Status, e.Remaining = *r.LastEnrollSampleStatus, *r.RemainingSamples
	return nil
}

// Cancel gives up the enrolment that is going on (CTAP 2.3, section 6.7.5). It needs no token.
func (b *BioEnroller) Cancel(ctx context.Context) error {
	_, err := b.send(ctx, SubCancelCurrentEnrollment, nil, false)
	return err
}

// List gives the enrolled fingerprints (CTAP 2.3, section 6.7.6). When there are none the list is
// empty and there is no error.
func (b *BioEnroller) List(ctx context.Context) ([]Template, error) {
	resp, err := b.send(ctx, SubEnumerateEnrollments, nil, true)
	if errors.Is(err, ErrInvalidOption) {
		// CTAP 2.3, section 6.7.6: the status for no enrolments.
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if len(resp.Templates) > MaxListed {
		return nil, fmt.Errorf("%w: bioEnrollment: %d fingerprints", ErrResponse, len(resp.Templates))
	}
	for _, t := range resp.Templates {
		if len(t.ID) == 0 {
			return nil, fmt.Errorf("%w: bioEnrollment: fingerprint without templateId", ErrResponse)
		}
	}
	return resp.Templates, nil
}

// Rename gives a fingerprint a name (CTAP 2.3, section 6.7.7), of at most MaxNameLength bytes;
// [ErrInvalidOption] says that there is no such fingerprint.
func (b *BioEnroller) Rename(ctx context.Context, id []byte, name string) error {
	_, err := b.send(ctx, SubSetFriendlyName, &BioEnrollmentParams{TemplateID: id, TemplateName: &name}, true)
	return err
}

// Remove forgets a fingerprint (CTAP 2.3, section 6.7.8); [ErrInvalidOption] says that there is no
// such fingerprint.
func (b *BioEnroller) Remove(ctx context.Context, id []byte) error {
	_, err := b.send(ctx, SubRemoveEnrollment, &BioEnrollmentParams{TemplateID: id}, true)
	return err
}

// milliseconds gives what goes into timeoutMilliseconds.
func milliseconds(d time.Duration) uint {
	if d <= 0 {
		return 0
	}
	return uint(min(max(d.Milliseconds(), 1), math.MaxUint32))
}

func (b *BioEnroller) send(ctx context.Context, sub BioEnrollmentSubcommand, params *BioEnrollmentParams, authenticated bool) (*BioEnrollmentResponse, error) {
	r := &BioEnrollmentRequest{Modality: ModalityFingerprint, Subcommand: sub}
	if params != nil {
		raw, err := Marshal(params)
		if err != nil {
			return nil, err
		}
		r.SubcommandParams = raw
	}
	if authenticated && b.token != nil {
		r.Authorize(b.token)
	}
	return b.c.BioEnrollment(ctx, r, b.preview)
}
