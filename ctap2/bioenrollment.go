package ctap2

import "strconv"

// BioEnrollmentSubcommand is a subcommand of authenticatorBioEnrollment (CTAP 2.3, section 6.7).
type BioEnrollmentSubcommand uint

// Subcommands of authenticatorBioEnrollment (CTAP 2.3, section 6.7).
const (
	SubEnrollBegin               BioEnrollmentSubcommand = 0x01
	SubEnrollCaptureNextSample   BioEnrollmentSubcommand = 0x02
	SubCancelCurrentEnrollment   BioEnrollmentSubcommand = 0x03
	SubEnumerateEnrollments      BioEnrollmentSubcommand = 0x04
	SubSetFriendlyName           BioEnrollmentSubcommand = 0x05
	SubRemoveEnrollment          BioEnrollmentSubcommand = 0x06
	SubGetFingerprintSensorInfo  BioEnrollmentSubcommand = 0x07
	ModalityFingerprint          uint                    = 0x01 // the only modality there is
	FingerprintKindTouch         uint                    = 1
	FingerprintKindSwipe         uint                    = 2
	DefaultMaxTemplateNameLength uint                    = 64 // bytes, where an authenticator does not say
)

// BioEnrollmentRequest holds the parameters of authenticatorBioEnrollment (CTAP 2.3, section
// 6.7). SubcommandParams is the canonical CBOR of [BioEnrollmentParams].
type BioEnrollmentRequest struct {
	Modality          uint                    `cbor:"1,keyasint,omitempty"`
	Subcommand        BioEnrollmentSubcommand `cbor:"2,keyasint,omitempty"`
	SubcommandParams  RawMessage              `cbor:"3,keyasint,omitempty"`
	PINUVAuthProtocol PINUVProtocol           `cbor:"4,keyasint,omitempty"`
	PINUVAuthParam    []byte                  `cbor:"5,keyasint,omitempty"`
	GetModality       *bool                   `cbor:"6,keyasint,omitempty"`
}

// Authenticated gives what pinUvAuthParam is made over (CTAP 2.3, section 6.7): the modality, the
// subcommand and the very bytes of its parameters.
func (r *BioEnrollmentRequest) Authenticated() []byte {
	return append([]byte{byte(r.Modality), byte(r.Subcommand)}, r.SubcommandParams...)
}

// Authorize sets pinUvAuthParam and its protocol; the other members must be there already.
func (r *BioEnrollmentRequest) Authorize(t *Token) {
	r.PINUVAuthParam, r.PINUVAuthProtocol = t.Authenticate(r.Authenticated()), t.Protocol
}

// BioEnrollmentParams are the parameters of a subcommand (CTAP 2.3, section 6.7). Nil and zero
// members are absent.
type BioEnrollmentParams struct {
	TemplateID          []byte  `cbor:"1,keyasint,omitempty"`
	TemplateName        *string `cbor:"2,keyasint,omitempty"`
	TimeoutMilliseconds uint    `cbor:"3,keyasint,omitempty"`
}

// BioEnrollmentResponse is the answer of authenticatorBioEnrollment (CTAP 2.3, section 6.7,
// response structure). Nil and zero members are absent.
type BioEnrollmentResponse struct {
	Modality               uint          `cbor:"1,keyasint,omitempty"`
	FingerprintKind        uint          `cbor:"2,keyasint,omitempty"`
	MaxCaptureSamples      uint          `cbor:"3,keyasint,omitempty"`
	TemplateID             []byte        `cbor:"4,keyasint,omitempty"`
	LastEnrollSampleStatus *SampleStatus `cbor:"5,keyasint,omitempty"`
	RemainingSamples       *uint         `cbor:"6,keyasint,omitempty"`
	Templates              []Template    `cbor:"7,keyasint,omitempty"`
	MaxTemplateNameLength  uint          `cbor:"8,keyasint,omitempty"` // bytes
}

// Template is an enrolled fingerprint (CTAP 2.3, section 6.7.6, TemplateInfo).
type Template struct {
	ID   []byte `cbor:"1,keyasint"`
	Name string `cbor:"2,keyasint,omitempty"`
}

// SampleStatus is what the sensor says of a sample (CTAP 2.3, section 6.7.4, table of
// lastEnrollSampleStatus).
type SampleStatus uint

// What a sensor says of a sample (CTAP 2.3, section 6.7.4). 0x0C is not used.
const (
	SampleGood                     SampleStatus = 0x00
	SampleTooHigh                  SampleStatus = 0x01
	SampleTooLow                   SampleStatus = 0x02
	SampleTooLeft                  SampleStatus = 0x03
	SampleTooRight                 SampleStatus = 0x04
	SampleTooFast                  SampleStatus = 0x05
	SampleTooSlow                  SampleStatus = 0x06
	SamplePoorQuality              SampleStatus = 0x07
	SampleTooSkewed                SampleStatus = 0x08
	SampleTooShort                 SampleStatus = 0x09
	SampleMergeFailure             SampleStatus = 0x0A
	SampleExists                   SampleStatus = 0x0B
	SampleNoUserActivity           SampleStatus = 0x0D
	SampleNoUserPresenceTransition SampleStatus = 0x0E
)

var sampleNames = map[SampleStatus]string{
	SampleGood: "good", SampleTooHigh: "too-high", SampleTooLow: "too-low", SampleTooLeft: "too-left",
	SampleTooRight: "too-right", SampleTooFast: "too-fast", SampleTooSlow: "too-slow",
	SamplePoorQuality: "poor-quality", SampleTooSkewed: "too-skewed", SampleTooShort: "too-short",
	SampleMergeFailure: "merge-failure", SampleExists: "exists", SampleNoUserActivity: "no-user-activity",
	SampleNoUserPresenceTransition: "no-user-presence-transition",
}

// String gives a short name such as "too-fast", which [ParseSampleStatus] reads.
func (s SampleStatus) String() string {
	if name, ok := sampleNames[s]; ok {
		return name
	}
	return "status-" + strconv.FormatUint(uint64(s), 10)
}

// ParseSampleStatus reads what String gives; ok is false for anything else.
func ParseSampleStatus(name string) (s SampleStatus, ok bool) {
	for s, n := range sampleNames {
		if n == name {
			return s, true
		}
	}
	return 0, false
}
