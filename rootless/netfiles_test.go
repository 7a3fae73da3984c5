package rootless

import (
	"strings"
	"testing"
)

func TestResolvConf(t *testing.T) {
	host := "# by hand\nnameserver 127.0.0.53\nnameserver 8.8.8.8\nsearch a.example  b.example\n" +
		"options edns0 trust-ad\nsearch\n"
	slirp := []string{SlirpDNS}
	for _, test := range []struct {
		conf ResolvConf
		host string
		want string
	}{
		{ResolvConf{Servers: slirp}, host, "nameserver 10.0.2.3\nsearch a.example b.example\noptions edns0 trust-ad\n"},
		{ResolvConf{Servers: slirp}, "", "nameserver 10.0.2.3\n"},
		{ResolvConf{Servers: []string{"1.1.1.1", "fd00::1"}, Search: []string{"c.example", "d"},
			Options: []string{"ndots:2", "rotate"}}, host,
			"nameserver 1.1.1.1\nnameserver fd00::1\nsearch c.example d\noptions ndots:2 rotate\n"},
		{ResolvConf{Search: []string{"."}}, host,
			"nameserver 127.0.0.53\nnameserver 8.8.8.8\noptions edns0 trust-ad\n"},
		{ResolvConf{Search: []string{"x"}}, "domain a.example\n", "search x\n"},
	} {
		if got := string(test.conf.Text([]byte(test.host))); got != test.want || test.conf.Validate() != nil {
			t.Errorf("%+v: %q, want %q", test.conf, got, test.want)
		}
	}
	for _, bad := range []ResolvConf{{Servers: []string{"notanip"}}, {Servers: []string{"1.1.1.1\nsearch x"}},
		{Search: []string{"a b"}}, {Search: []string{""}},
		{Options: []string{"a\nnameserver 1.1.1.1"}}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func TestHosts(t *testing.T) {
	got, err := HostsFile{Address: "10.0.2.100", Hostname: "web.example.org",
		Extra: []string{"db:10.1.2.3", "six:[fd00::1]", "seven=fd00::2"}}.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"127.0.0.1\tlocalhost\n", "::1\tlocalhost ip6-localhost ip6-loopback\n",
		"10.1.2.3\tdb\n",
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
