// Package aws gets sessions of Amazon Web Services for a profile whose sign-in wants a second factor. It is for "fob aws": it knows where the
// profiles are, asks the Security Token Service, and keeps what that gives until it expires. Where the one-time code comes from is the
// caller's business.
package aws

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
)

// defaultRegion is where STS is asked when a profile names no region.
const defaultRegion = "us-east-1"

// Profile is one of the AWS configuration whose credentials want a one-time code.
type Profile struct {
	Name string
	// Serial is the MFA device's: an ARN, or what stands on a hardware token.
	Serial string

	config.SharedConfig
	keys     awssdk.Credentials // the long-term ones
	duration time.Duration
}

// ErrProfile says that a profile lacks something.
var ErrProfile = errors.New("aws: this profile cannot be used")

// Load reads a profile from the files that the AWS command line reads, and those that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE
// name. serial, if given, is in the place of the profile's mfa_serial, duration in that of its duration_seconds.
func Load(ctx context.Context, name, serial string, duration time.Duration) (*Profile, error) {
	name = cmp.Or(name, os.Getenv("AWS_PROFILE"), "default")
	shared, err := config.LoadSharedConfigProfile(ctx, name, func(o *config.LoadSharedConfigOptions) {
		if file := os.Getenv("AWS_CONFIG_FILE"); file != "" {
			o.ConfigFiles = []string{file}
		}
		if file := os.Getenv("AWS_SHARED_CREDENTIALS_FILE"); file != "" {
			o.CredentialsFiles = []string{file}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	p := &Profile{Name: name, SharedConfig: shared, Serial: cmp.Or(serial, shared.MFASerial), duration: duration}
	if p.Serial == "" {
		return nil, fmt.Errorf("%w: the profile %s has no mfa_serial", ErrProfile, name)
	}
	if p.duration == 0 && shared.RoleDurationSeconds != nil {
		p.duration = *shared.RoleDurationSeconds
	}
	of := shared
	if shared.RoleARN != "" {
		if shared.Source == nil {
			return nil, fmt.Errorf("%w: the profile %s has a role_arn, and no source_profile with keys of its own", ErrProfile, name)
		}
		of = *shared.Source
	}
	if !of.Credentials.HasKeys() {
		return nil, fmt.Errorf("%w: the profile %s has no aws_access_key_id and aws_secret_access_key", ErrProfile, cmp.Or(of.Profile, name))
	}
	if of.Credentials.SessionToken != "" {
		return nil, fmt.Errorf("%w: the keys of the profile %s are those of a session already", ErrProfile, cmp.Or(of.Profile, name))
	}
	p.keys = of.Credentials
	p.Region = cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), shared.Region, of.Region, defaultRegion)
	return p, nil
}

// User is the name behind the last stroke of an ARN such as arn:aws:iam::123456789012:mfa/alice, and the account; both are empty for a
// hardware token's serial number.
func (p *Profile) User() (user, account string) {
	parts := strings.SplitN(p.Serial, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return "", ""
	}
	return parts[5][strings.LastIndexByte(parts[5], '/')+1:], parts[4]
}

// ID names what the profile gets, for [Cache]: other settings are another name.
func (p *Profile) ID() string {
	return hashed(strings.Join([]string{
		p.Name, p.keys.AccessKeyID, p.Serial, p.RoleARN, p.RoleSessionName, p.ExternalID, p.Region, p.duration.String(),
	}, "\x00"))
}

// hashed is a name for files.
func hashed(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// Session are credentials for a while. They print without their secrets.
type Session struct {
	AccessKeyID     string    `json:"accessKeyId"`
	SecretAccessKey string    `json:"secretAccessKey"`
	Token           string    `json:"sessionToken"`
	Expires         time.Time `json:"expires"`
}

// String has no secret.
func (s Session) String() string { return s.AccessKeyID + " [secret]" }

// Format prints what String says, for every verb.
func (s Session) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is for slog.
func (s Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Get spends a code: STS's AssumeRole if the profile has a role, else GetSessionToken.
func (p *Profile) Get(ctx context.Context, code string) (*Session, error) {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithSharedConfigProfile(p.Name), config.WithRegion(p.Region),
		config.WithCredentialsProvider(credentials.StaticCredentialsProvider{Value: p.keys}),
		// A code is good for one try: sent once more, it is refused for being used.
		config.WithRetryMaxAttempts(1),
	)
	if err != nil {
		return nil, fmt.Errorf("aws: %w", err)
	}
	client := sts.NewFromConfig(cfg)
	var got *types.Credentials
	if p.RoleARN != "" {
		in := &sts.AssumeRoleInput{
			RoleArn: &p.RoleARN, RoleSessionName: awssdk.String(cmp.Or(p.RoleSessionName, p.sessionName())), SerialNumber: &p.Serial, TokenCode: &code,
			DurationSeconds: p.seconds(),
		}
		if p.ExternalID != "" {
			in.ExternalId = &p.ExternalID
		}
		var out *sts.AssumeRoleOutput
		if out, err = client.AssumeRole(ctx, in); err == nil {
			got = out.Credentials
		}
	} else {
		var out *sts.GetSessionTokenOutput
		if out, err = client.GetSessionToken(ctx, &sts.GetSessionTokenInput{SerialNumber: &p.Serial, TokenCode: &code, DurationSeconds: p.seconds()}); err == nil {
			got = out.Credentials
		}
	}
	if err != nil {
		return nil, explain(err)
	}
	if got == nil || got.AccessKeyId == nil || got.SecretAccessKey == nil || got.SessionToken == nil || got.Expiration == nil {
		return nil, errors.New("aws: STS answered without credentials")
	}
	return &Session{AccessKeyID: *got.AccessKeyId, SecretAccessKey: *got.SecretAccessKey, Token: *got.SessionToken, Expires: *got.Expiration}, nil
}

func (p *Profile) seconds() *int32 {
	if p.duration == 0 {
		return nil
	}
	return awssdk.Int32(int32(p.duration / time.Second))
}

// sessionName is what CloudTrail shows of who it is.
func (p *Profile) sessionName() string {
	user, _ := p.User()
	return "fob-" + cmp.Or(user, "session")
}

// explain is STS's own word where it has said one.
func explain(err error) error {
	var says smithy.APIError
	if errors.As(err, &says) {
		return fmt.Errorf("aws: STS says %s: %s", says.ErrorCode(), says.ErrorMessage())
	}
	return fmt.Errorf("aws: %w", err)
}
