package imagename_test

import (
	"runtime"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/rcrun/rcrun/layers/imagename"
)

func TestParsePlatform(t *testing.T) {
	for text, want := range map[string]string{
		"linux/arm64": "linux/arm64", "linux/arm64/v8": "linux/arm64", "linux/arm/v7": "linux/arm/v7",
		"Linux/AMD64":  "linux/amd64",
		"linux/x86_64": "linux/amd64", "aarch64": runtime.GOOS + "/arm64", "s390x": runtime.GOOS + "/s390x",
		"windows": "windows/" + runtime.GOARCH,
	} {
		system, arch, variant, err := imagename.ParsePlatform(text)
		if got := imagename.PlatformText(v1.Platform{OS: system, Architecture: arch, Variant: variant}); err != nil ||
			got != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"x", "linux/", "/arm64", "linux//v8", "linux/arm/v7/x", "linux/arm 64", " ", "/",
		"linux/a\x1bb"} {
		if err := imagename.CheckPlatform(text); err == nil || !strings.Contains(err.Error(), "OS/ARCH") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}
