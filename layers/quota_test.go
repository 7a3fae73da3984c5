package layers_test

import (
	"context"
	"testing"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/storetest"
)

func TestLimitedContainer(t *testing.T) {
	s := storetest.OpenStore(t)
	want := layers.Quota{Bytes: 1 << 20, Inodes: 7}
	if err := s.CreateLimited(context.Background(), storetest.ContainerID(1), "", nil, want); err != nil {
		t.Fatal(err)
	}
	if stack, err := s.ContainerStack(context.Background(), storetest.ContainerID(1)); err != nil ||
		stack.Quota != want {
		t.Errorf("got %+v, %v", stack, err)
	}
	if err := s.CreateContainer(context.Background(), storetest.ContainerID(2), "", nil); err != nil {
		t.Fatal(err)
	}
	if stack, err := s.ContainerStack(context.Background(), storetest.ContainerID(2)); err != nil ||
		stack.Quota != (layers.Quota{}) {
		t.Errorf("got %+v, %v", stack, err)
	}
}
