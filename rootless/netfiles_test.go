package rootless

import (
	"strings"
	"testing"
)

func TestSlirpResolvConf(t *testing.T) {
	host := "# by hand\nnameserver 127.0.0.53\nnameserver 8.8.8.8\nsearch a.example  b.example\noptions edns0 trust-ad\nsearch\n"
	want := "nameserver 10.0.2.3\nsearch a.example b.example\noptions edns0 trust-ad\n"
	if got := string(SlirpResolvConf([]byte(host))); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := string(SlirpResolvConf(nil)); got != "nameserver 10.0.2.3\n" {
		t.Errorf("without a file of the host's: %q", got)
	}
}

func TestHosts(t *testing.T) {
	got, err := HostsFile{Address: "10.0.2.100", Hostname: "web.example.org", Extra: []string{"db:10.1.2.3", "six:[fd00::1]", "seven=fd00::2"}}.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"127.0.0.1\tlocalhost\n", "::1\tlocalhost ip6-localhost ip6-loopback\n", "10.1.2.3\tdb\n",
		"fd00::1\tsix\n", "fd00::2\tseven\n", "10.0.2.100\tweb.example.org web\n"} {
		if !strings.Contains(string(got), line) {
			t.Errorf("no line %q in\n%s", line, got)
		}
	}
	for _, bad := range []string{"", "db", ":1.2.3.4", "db:", "db:host", "a b:1.2.3.4", "a\n1.1.1.1 b:1.2.3.4"} {
		if got, err := (HostsFile{Extra: []string{bad}}).Text(); err == nil {
			t.Errorf("add-host %q is taken: %q", bad, got)
		}
	}
}
