package layers

import "testing"

func TestLimitedContainer(t *testing.T) {
	s := openStore(t)
	want := Quota{Bytes: 1 << 20, Inodes: 7}
	if err := s.CreateLimited(containerID(1), "", nil, want); err != nil {
		t.Fatal(err)
	}
	if stack, err := s.ContainerStack(containerID(1)); err != nil || stack.Quota != want {
		t.Errorf("got %+v, %v", stack, err)
	}
	if err := s.CreateContainer(containerID(2), "", nil); err != nil {
		t.Fatal(err)
	}
	if stack, err := s.ContainerStack(containerID(2)); err != nil || stack.Quota != (Quota{}) {
		t.Errorf("got %+v, %v", stack, err)
	}
}
