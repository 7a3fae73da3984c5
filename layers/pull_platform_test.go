package layers

import (
	"context"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

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
