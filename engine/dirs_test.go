package engine

import (
	"os"
	"os/user"
	"testing"
)

func TestSetHome(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skip("nobody knows who runs this")
	}
	for given, want := range map[string]string{"": me.HomeDir, "/mine": "/mine"} {
		t.Setenv("HOME", given)
		SetHome()
		if got := os.Getenv("HOME"); got != want {
			t.Errorf("HOME=%q becomes %q, want %q", given, got, want)
		}
	}
}
