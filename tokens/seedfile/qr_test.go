package seedfile_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fobd/fobd/tokens/seedfile"
)

const someURI = "otpauth://totp/ACME:alice@example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=ACME&algorithm=SHA1&digits=6&period=30"

func code(t *testing.T, text string) *seedfile.Code {
	t.Helper()
	c, err := seedfile.QR(text)
	if err != nil {
		t.Fatalf("QR: %v", err)
	}
	return c
}

func decodePNG(t *testing.T, b []byte) image.Image {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func encodePNG(t *testing.T, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestQRIsReadAgain(t *testing.T) {
	for _, uri := range []string{someURI, loadVectors(t).Migration.URI, "otpauth://totp/" + strings.Repeat("a", 1900)} {
		b := code(t, uri).PNG()
		got, err := seedfile.ReadImage(bytes.NewReader(b))
		if err != nil || !slices.Equal(got, []string{uri}) {
			t.Errorf("PNG of %d bytes of text: got %q, %v", len(uri), got, err)
		}
		var j bytes.Buffer
		if err := jpeg.Encode(&j, decodePNG(t, b), &jpeg.Options{Quality: 60}); err != nil {
			t.Fatal(err)
		}
		got, err = seedfile.ReadImage(&j)
		if err != nil || !slices.Equal(got, []string{uri}) {
			t.Errorf("JPEG of %d bytes of text: got %q, %v", len(uri), got, err)
		}
	}
}

func TestQRSeveralInOnePicture(t *testing.T) {
	a, b := decodePNG(t, code(t, someURI).PNG()), decodePNG(t, code(t, "otpauth://totp/bob?secret=GEZDGNBVGY3TQOJQ").PNG())
	both := image.NewGray(image.Rect(0, 0, a.Bounds().Dx()+b.Bounds().Dx()+50, a.Bounds().Dy()+100))
	draw.Draw(both, both.Bounds(), image.White, image.Point{}, draw.Src)
	draw.Draw(both, a.Bounds().Add(image.Pt(0, 50)), a, image.Point{}, draw.Src)
	draw.Draw(both, b.Bounds().Add(image.Pt(a.Bounds().Dx()+50, 20)), b, image.Point{}, draw.Src)
	got, err := seedfile.ReadImage(bytes.NewReader(encodePNG(t, both)))
	slices.Sort(got)
	if err != nil || len(got) != 2 || got[0] != someURI {
		t.Errorf("got %q, %v, want both", got, err)
	}
}

func TestQRTerminal(t *testing.T) {
	for _, inverted := range []bool{false, true} {
		lines := strings.Split(strings.TrimSuffix(code(t, someURI).Terminal(inverted), "\n"), "\n")
		width := len([]rune(lines[0]))
		m := image.NewGray(image.Rect(0, 0, 4*width, 8*len(lines)))
		for y, line := range lines {
			for x, r := range []rune(line) {
				upper, lower := r == '█' || r == '▀', r == '█' || r == '▄'
				for i, drawn := range []bool{upper, lower} {
					shade := color.Gray{}
					if drawn != inverted {
						shade.Y = 255
					}
					draw.Draw(m, image.Rect(4*x, 8*y+4*i, 4*x+4, 8*y+4*i+4), image.NewUniform(shade), image.Point{}, draw.Src)
				}
			}
		}
		got, err := seedfile.ReadImage(bytes.NewReader(encodePNG(t, m)))
		if err != nil || !slices.Equal(got, []string{someURI}) {
			t.Errorf("inverted %v: got %q, %v", inverted, got, err)
		}
	}
}

func TestQRLimits(t *testing.T) {
	for _, text := range []string{"", strings.Repeat("a", seedfile.MaxQR+1)} {
		if _, err := seedfile.QR(text); !errors.Is(err, seedfile.ErrImage) {
			t.Errorf("QR of %d bytes: got %v, want ErrImage", len(text), err)
		}
	}
	if _, err := seedfile.QR(strings.Repeat("a", seedfile.MaxQR)); err != nil {
		t.Errorf("QR of MaxQR bytes: %v", err)
	}
	huge := encodePNG(t, image.NewGray(image.Rect(0, 0, 8, 8)))
	// Width and height are in IHDR; the config is read before a pixel is.
	copy(huge[16:], []byte{0, 0, 0x80, 0, 0, 0, 0x80, 0})
	for name, b := range map[string][]byte{
		"text":  []byte("hello"),
		"empty": nil,
		"blank": encodePNG(t, image.NewGray(image.Rect(0, 0, 100, 100))),
		"tiny":  encodePNG(t, image.NewGray(image.Rect(0, 0, 8, 8))),
		"huge":  huge,
		"wide":  encodePNG(t, image.NewGray(image.Rect(0, 0, 9000, 30))),
		"cut":   code(t, someURI).PNG()[:400],
		"large": make([]byte, seedfile.MaxImageSize+1),
	} {
		if got, err := seedfile.ReadImage(bytes.NewReader(b)); !errors.Is(err, seedfile.ErrImage) {
			t.Errorf("%s: got %q, %v, want ErrImage", name, got, err)
		}
	}
}

func TestZbarimgReadsWhatWeDraw(t *testing.T) {
	zbarimg := tool(t, "zbarimg")
	path := filepath.Join(t.TempDir(), "a.png")
	for _, uri := range []string{someURI, loadVectors(t).Migration.URI} {
		if err := os.WriteFile(path, code(t, uri).PNG(), 0o600); err != nil {
			t.Fatal(err)
		}
		got := run(t, zbarimg, "--quiet", "--raw", path)
		wantIn(t, got, uri)
	}
}

func TestWeReadWhatQrencodeDraws(t *testing.T) {
	qrencode := tool(t, "qrencode")
	path := filepath.Join(t.TempDir(), "a.png")
	for _, level := range []string{"L", "M", "Q", "H"} {
		run(t, qrencode, "-l", level, "-o", path, someURI)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := seedfile.ReadImage(bytes.NewReader(b))
		if err != nil || !slices.Equal(got, []string{someURI}) {
			t.Errorf("level %s: got %q, %v", level, got, err)
		}
	}
}
