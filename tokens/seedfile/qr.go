package seedfile

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // the pictures that ReadImage knows
	_ "image/png"
	"io"
	"strings"

	"github.com/makiuchi-d/gozxing"
	multi "github.com/makiuchi-d/gozxing/multi/qrcode"
	single "github.com/makiuchi-d/gozxing/qrcode"
	"rsc.io/qr"
)

// Limits of pictures.
const (
	// MaxImageSize is in bytes of the file.
	MaxImageSize = 16 << 20
	// MaxImagePixels is width times height, known before the picture is decoded.
	MaxImagePixels = 16 << 20
	maxImageSide   = 8192
	minImageSide   = 21 // of the smallest code
	// MaxQR is how many bytes a text for QR may have.
	MaxQR = 2048
)

// ErrImage says that a picture cannot be read or has no QR code.
var ErrImage = errors.New("seedfile: no QR code")

// IsImage says whether a file begins as a PNG or a JPEG does.
func IsImage(file []byte) bool {
	return bytes.HasPrefix(file, []byte("\x89PNG\r\n\x1a\n")) || bytes.HasPrefix(file, []byte("\xff\xd8\xff"))
}

// ReadImage finds the QR codes in a PNG or JPEG and returns their texts, each once. They are URIs for [Read] or
// [ParseURI], if the picture is one of a token, and secrets.
func ReadImage(r io.Reader) (texts []string, err error) {
	file, err := io.ReadAll(io.LimitReader(r, MaxImageSize+1))
	if err != nil {
		return nil, err
	}
	defer clear(file)
	if len(file) > MaxImageSize {
		return nil, fmt.Errorf("%w: the picture has more than %d bytes; cut it down to the code", ErrImage, MaxImageSize)
	}
	config, kind, err := image.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("%w: not a PNG or JPEG picture", ErrImage)
	}
	w, h := config.Width, config.Height
	if w > maxImageSide || h > maxImageSide || w*h > MaxImagePixels || w < minImageSide || h < minImageSide {
		return nil, fmt.Errorf("%w: a picture of %d by %d pixels; cut it down to the code", ErrImage, w, h)
	}
	picture, _, err := image.Decode(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("%w: a broken %s picture", ErrImage, kind)
	}
	if texts = decodeQR(picture); len(texts) == 0 {
		return nil, fmt.Errorf("%w in the picture; take it again, sharp and straight", ErrImage)
	}
	return texts, nil
}

// decodeQR tries what finds several codes, what finds one in the middle of other things, and a clean picture as it is.
func decodeQR(picture image.Image) (texts []string) {
	// The decoder is not ours: a picture that it stumbles over has no code.
	defer func() { _ = recover() }()
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		return nil
	}
	harder := map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_TRY_HARDER: true}
	pure := map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true}
	seen := map[string]bool{}
	take := func(found ...*gozxing.Result) {
		for _, f := range found {
			if text := f.GetText(); !seen[text] {
				seen[text] = true
				texts = append(texts, text)
			}
		}
	}
	for _, try := range []func(){
		func() {
			if found, err := multi.NewQRCodeMultiReader().DecodeMultiple(bitmap, harder); err == nil {
				take(found...)
			}
		},
		func() {
			if found, err := single.NewQRCodeReader().Decode(bitmap, harder); err == nil {
				take(found)
			}
		},
		func() {
			if found, err := single.NewQRCodeReader().Decode(bitmap, pure); err == nil {
				take(found)
			}
		},
	} {
		guarded(try)
		if len(texts) > 0 {
			break
		}
	}
	return texts
}

// guarded keeps a panic of one try from the next one.
func guarded(try func()) {
	defer func() { _ = recover() }()
	try()
}

// Code is a QR code. Like its text, it is a secret.
type Code struct{ code *qr.Code }

// QR makes the code of a text, such as [Token.URI], of at most MaxQR bytes.
func QR(text string) (*Code, error) {
	if text == "" || len(text) > MaxQR {
		return nil, fmt.Errorf("%w for a text of %d bytes, want 1 to %d", ErrImage, len(text), MaxQR)
	}
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, fmt.Errorf("%w: the text is too long", ErrImage)
	}
	return &Code{code}, nil
}

// PNG is the code as a picture, with the quiet zone around it.
func (c *Code) PNG() []byte { return c.code.PNG() }

// quiet is the zone around a code, in modules (ISO/IEC 18004).
const quiet = 4

// Terminal is the code in half blocks, two rows of modules a line, with the quiet zone. What is light is drawn, for
// a terminal with light text on dark; with inverted what is dark is, for dark text on light.
func (c *Code) Terminal(inverted bool) string {
	var b strings.Builder
	drawn := func(x, y int) bool {
		inside := x >= 0 && y >= 0 && x < c.code.Size && y < c.code.Size
		return (inside && c.code.Black(x, y)) == inverted
	}
	for y := -quiet; y < c.code.Size+quiet; y += 2 {
		for x := -quiet; x < c.code.Size+quiet; x++ {
			// The size is odd: below the last row there is nothing.
			upper, lower := drawn(x, y), y+1 < c.code.Size+quiet && drawn(x, y+1)
			switch {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
