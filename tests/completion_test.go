package tests

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestCompletion asks what a shell asks while somebody types.
func TestCompletion(t *testing.T) {
	u := newUserWithImage(t)
	u.run("create", "--name", "c1", "bb")
	for _, test := range []struct {
		words string // the last is being typed
		want  string
	}{
		{"run |", "bb:latest"},
		{"run --rm -it -v /a:/b |", "bb:latest"},
		{"create |", "bb:latest"},
		{"container run |", "bb:latest"},
		{"rmi |", "bb:latest"},
		{"rm |", "c1"},
		{"exec |", "c1"},
		{"inspect |", "bb:latest c1"},
		{"run --network |", "default host none slirp4netns"},
		{"run --pull |", "always missing never"},
		{"create --userns |", "host keep-id nomap"},
		{"ps --filter status=|", "status=created status=dead status=exited status=paused status=removing " +
			"status=restarting status=running"},
		{"images -f dangling=|", "dangling=false dangling=true"},
		{"--root /nonexistent/x im|", "images image import"},
		{"-D p|", "ps pull push"},
	} {
		words := strings.Split(strings.TrimSuffix(test.words, "|"), " ")
		lines := strings.Split(u.run(append([]string{"__completeNoDesc"}, words...)...), "\n")
		got, want := lines[:len(lines)-1], strings.Fields(test.want)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", test.words, got, want)
		}
	}
	contains(t, u.run("__complete", "ps", "-f", ""), "name=\n", "status=\n", "publish=\n")
	if out := u.run("__complete", "run", "bb", ""); strings.Contains(out, "bb:latest") {
		t.Errorf("the command in a container is completed by images: %s", out)
	}
	if out := u.run("__complete", "exec", "c1", ""); strings.Contains(out, "c1\n") {
		t.Errorf("the command to execute is completed by containers: %s", out)
	}
}

// TestCompletionOfLink completes a link called docker as such.
func TestCompletionOfLink(t *testing.T) {
	u := newUser(t)
	if err := os.Symlink(u.path("rcrun"), u.path("docker")); err != nil {
		t.Fatal(err)
	}
	contains(t, u.succeeded(u.finish(u.command(u.path("docker"), "completion", "bash"))), "__start_docker docker")
	contains(t, u.run("completion", "bash"), "__start_rcrun rcrun")
}
