package layers_test

import (
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/storetest"
)

func TestFits(t *testing.T) {
	for _, c := range []struct {
		is, wanted string
		fits       bool
	}{
		{"linux/amd64", "linux/amd64", true}, {"linux/amd64", "amd64", true}, {"linux/amd64", "", true},
		{"linux/arm64/v8", "linux/arm64", true},
		{"linux/arm64", "linux/arm64/v8", true}, {"linux/arm/v6", "linux/arm/v7", true},
		{"linux/arm/v7", "linux/arm", true}, {"/", "linux/s390x", true},
		{"linux/amd64", "linux/arm64", false}, {"windows/amd64", "linux/amd64", false},
		{"linux/arm/v7", "linux/arm/v6", false},
	} {
		parts := strings.Split(c.is+"/", "/")
		img := &layers.Image{Config: v1.Image{Platform: v1.Platform{OS: parts[0], Architecture: parts[1],
			Variant: parts[2]}}}
		err := img.Fits(c.wanted, "app:1")
		if (err == nil) != c.fits || err != nil &&
			(!storetest.IsPlatformError(err) ||
				!strings.Contains(err.Error(), "app:1 was found but its platform ("+c.is+")")) {
			t.Errorf("%s for %s: %v", c.is, c.wanted, err)
		}
	}
}
