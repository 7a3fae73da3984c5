package registry_test

import (
	"context"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/registry"
)

// TestPullHoldsPlatform pulls images that are for one platform only, or say in the list to be for another one than
// they are.
func TestPullHoldsPlatform(t *testing.T) {
	reg, s := storetest.NewRegistry(t), storetest.OpenStore(t)
	img := storetest.NewSample(t, "s390x", storetest.RootfsTar(t, "x"))
	reg.Push(t, img, "one", "latest")
	reg.Push(t, img, "false", "")
	x := storetest.NewIndexes(t)
	list := x.Of(v1.MediaTypeImageIndex, storetest.EntryOf(img, "riscv64"))
	reg.Put(t, "/v2/false/manifests/latest", list.MediaType, x.Blobs[list.Digest])
	for _, name := range []string{"/one", "/false"} {
		for range 2 { // the second time with the image in the store
			_, err := registry.Pull(context.Background(), s, reg.Host+name,
				registry.PullOptions{Platform: "linux/riscv64"})
			if !storetest.IsPlatformError(err) ||
				!strings.Contains(err.Error(), "(linux/s390x) does not match the specified platform (linux/riscv64)") {
				t.Errorf("%s: error %v", name, err)
			}
			if _, err := registry.Pull(context.Background(), s, reg.Host+"/one",
				registry.PullOptions{Platform: "linux/s390x"}); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := registry.Pull(context.Background(), s, reg.Host+"/one", registry.PullOptions{}); err != nil {
		t.Errorf("without a platform: %v", err)
	}
}
