package rootless

import (
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func TestParsePort(t *testing.T) {
	for spec, want := range map[string][]PortMapping{
		"80":                         {{"", 0, 80, "tcp", 0}},
		"8080:80":                    {{"", 8080, 80, "tcp", 0}},
		"8080:80/udp":                {{"", 8080, 80, "udp", 0}},
		"8080:80/TCP":                {{"", 8080, 80, "tcp", 0}},
		"127.0.0.1:8080:80":          {{"127.0.0.1", 8080, 80, "tcp", 0}},
		"127.0.0.1::80":              {{"127.0.0.1", 0, 80, "tcp", 0}},
		"[::1]:8080:80":              {{"::1", 8080, 80, "tcp", 0}},
		"[::1]::80/udp":              {{"::1", 0, 80, "udp", 0}},
		"8000-8002:80-82":            {{"", 8000, 80, "tcp", 0}, {"", 8001, 81, "tcp", 0}, {"", 8002, 82, "tcp", 0}},
		"80-81":                      {{"", 0, 80, "tcp", 0}, {"", 0, 81, "tcp", 0}},
		":80":                        {{"", 0, 80, "tcp", 0}},
		"65535:65535":                {{"", 65535, 65535, "tcp", 0}},
		"0:80":                       {{"", 0, 80, "tcp", 0}},
		"127.0.0.1:0:80":             {{"127.0.0.1", 0, 80, "tcp", 0}},
		"0:80-81":                    {{"", 0, 80, "tcp", 0}, {"", 0, 81, "tcp", 0}},
		"8000-8002:80":               {{"", 8000, 80, "tcp", 8002}},
		"127.0.0.1:8000-8002:80/udp": {{"127.0.0.1", 8000, 80, "udp", 8002}},
		"127.0.0.1:8000-8000:1-1":    {{"127.0.0.1", 8000, 1, "tcp", 0}},
	} {
		got, err := ParsePort(spec)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParsePort(%q) = %v, %v; want %v", spec, got, err, want)
		}
	}
}

func TestParsePortRefuses(t *testing.T) {
	for spec, part := range map[string]string{
		"":                    "no container port",
		"8080:":               "no container port",
		"80/sctp":             "neither tcp nor udp",
		"80/":                 "neither tcp nor udp",
		"0":                   "containerPort",
		"65536":               "containerPort",
		"x":                   "containerPort",
		"-1:80":               "hostPort",
		"0-5:80":              "hostPort",
		"8000-8001:80-82":     "invalid ranges",
		"8000:80-81":          "invalid ranges",
		"82-80":               "ends before",
		"1.2.3:8080:80":       "invalid IP address",
		"::1:8080:80":         "invalid IP address",
		"[::1:8080:80":        "invalid IP address",
		"[1.2.3.4]:8080:80":   "invalid IP address",
		"localhost:8080:80":   "invalid IP address",
		"1.2.3.4:5:8080:80":   "invalid IP address",
		"127.0.0.1:8080:80:x": "invalid IP address",
	} {
		got, err := ParsePort(spec)
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("ParsePort(%q) = %v, %v; want an error with %q", spec, got, err, part)
		}
	}
}

func TestProbePicksFreePort(t *testing.T) {
	for _, protocol := range []string{"tcp", "udp"} {
		p, err := PortMapping{HostIP: "127.0.0.1", ContainerPort: 80, Protocol: protocol}.probe()
		if err != nil || p.HostPort == 0 {
			t.Errorf("%s: %v, %v", protocol, p, err)
		}
	}
}

func TestProbeBusyPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy := uint16(l.Addr().(*net.TCPAddr).Port)
	_, err = PortMapping{HostIP: "127.0.0.1", HostPort: busy, ContainerPort: 80, Protocol: "tcp"}.probe()
	want := "127.0.0.1:" + strconv.Itoa(int(busy)) + " failed: port is already allocated"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q in it", err, want)
	}
}

func TestProbePrivilegedPort(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		t.Fatal(err)
	}
	if start, _ := strconv.Atoi(strings.TrimSpace(string(text))); os.Geteuid() == 0 || start <= 1 {
		t.Skip("every port is open to this user")
	}
	_, err = PortMapping{HostPort: 1, ContainerPort: 80, Protocol: "tcp"}.probe()
	if err == nil || !strings.Contains(err.Error(), "sysctl net.ipv4.ip_unprivileged_port_start=1") ||
		!strings.Contains(err.Error(), "such as 8001,") {
		t.Errorf("got %v", err)
	}
}

func FuzzParsePort(f *testing.F) {
	f.Add("127.0.0.1:8000-8002:80-82/udp")
	f.Add("[::1]::80")
	f.Fuzz(func(t *testing.T, spec string) {
		maps, err := ParsePort(spec)
		if err == nil && len(maps) == 0 {
			t.Fatalf("ParsePort(%q) returns nothing", spec)
		}
		for _, m := range maps {
			if m.ContainerPort == 0 || m.Protocol != "tcp" && m.Protocol != "udp" {
				t.Fatalf("ParsePort(%q) returns %+v", spec, m)
			}
		}
	})
}
