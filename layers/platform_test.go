package layers

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestParsePlatform(t *testing.T) {
	for text, want := range map[string]string{
		"linux/arm64": "linux/arm64", "linux/arm64/v8": "linux/arm64", "linux/arm/v7": "linux/arm/v7", "Linux/AMD64": "linux/amd64",
		"linux/x86_64": "linux/amd64", "aarch64": runtime.GOOS + "/arm64", "s390x": runtime.GOOS + "/s390x", "windows": "windows/" + runtime.GOARCH,
	} {
		system, arch, variant, err := parsePlatform(text)
		if got := platformText(v1.Platform{OS: system, Architecture: arch, Variant: variant}); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"x", "linux/", "/arm64", "linux//v8", "linux/arm/v7/x", "linux/arm 64", " ", "/", "linux/a\x1bb"} {
		if err := CheckPlatform(text); err == nil || !strings.Contains(err.Error(), "OS/ARCH") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func TestFits(t *testing.T) {
	for _, c := range []struct {
		is, wanted string
		fits       bool
	}{
		{"linux/amd64", "linux/amd64", true}, {"linux/amd64", "amd64", true}, {"linux/amd64", "", true}, {"linux/arm64/v8", "linux/arm64", true},
		{"linux/arm64", "linux/arm64/v8", true}, {"linux/arm/v6", "linux/arm/v7", true}, {"linux/arm/v7", "linux/arm", true}, {"/", "linux/s390x", true},
		{"linux/amd64", "linux/arm64", false}, {"windows/amd64", "linux/amd64", false}, {"linux/arm/v7", "linux/arm/v6", false},
	} {
		parts := strings.Split(c.is+"/", "/")
		img := &Image{Config: v1.Image{Platform: v1.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}}}
		err := img.Fits(c.wanted, "app:1")
		if (err == nil) != c.fits || err != nil && (!isPlatformError(err) || !strings.Contains(err.Error(), "app:1 was found but its platform ("+c.is+")")) {
			t.Errorf("%s for %s: %v", c.is, c.wanted, err)
		}
	}
}

// TestPullHoldsPlatform pulls images that are for one platform only, or say in the list to be for another one than
// they are.
func TestPullHoldsPlatform(t *testing.T) {
	reg, s := newRegistry(t), openStore(t)
	img := newSample(t, "s390x", rootfsTar(t, "x"))
	reg.push(t, img, "one", "latest")
	reg.push(t, img, "false", "")
	x := &indexes{t, map[digest.Digest][]byte{}, map[digest.Digest]string{}}
	list := x.of(v1.MediaTypeImageIndex, entryOf(img, "riscv64"))
	reg.put(t, "/v2/false/manifests/latest", list.MediaType, x.blobs[list.Digest])
	for _, name := range []string{"/one", "/false"} {
		for range 2 { // the second time with the image in the store
			_, err := s.Pull(context.Background(), reg.host+name, PullOptions{Platform: "linux/riscv64"})
			if !isPlatformError(err) || !strings.Contains(err.Error(), "(linux/s390x) does not match the specified platform (linux/riscv64)") {
				t.Errorf("%s: error %v", name, err)
			}
			if _, err := s.Pull(context.Background(), reg.host+"/one", PullOptions{Platform: "linux/s390x"}); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := s.Pull(context.Background(), reg.host+"/one", PullOptions{}); err != nil {
		t.Errorf("without a platform: %v", err)
	}
}

func isPlatformError(err error) bool {
	var platform *PlatformError
	return errors.As(err, &platform) && errdefs.IsNotFound(err)
}
