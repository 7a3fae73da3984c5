package tests

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestLimitsWithoutEffect gives limits that need a cgroup: the container runs, with one warning, and inspect shows
// them.
func TestLimitsWithoutEffect(t *testing.T) {
	u := newUserWithImage(t)
	r := u.try("run", "--name", "c1", "-m", "512m", "--memory-swap", "1g", "--memory-reservation", "64m",
		"--memory-swappiness", "10", "--cpus", "0.5",
		"-c", "512", "--cpuset-cpus", "0", "--pids-limit", "100", "--blkio-weight", "300", "--oom-kill-disable",
		"--cgroup-parent", "/x",
		"--device-read-bps", "/dev/sda:1mb", "bb", "echo", "runs")
	u.failed(r, 0, "warning", "--memory,", "--memory-swap", "--memory-reservation", "--memory-swappiness", "--cpus",
		"--cpu-shares", "--cpuset-cpus",
		"--pids-limit", "--blkio-weight", "--oom-kill-disable", "--cgroup-parent", "--device-read-bps",
		"without effect", "cgroup")
	if r.out() != "runs" {
		t.Errorf("the container printed %q", r.stdout)
	}
	u.prints("536870912 1073741824 67108864 10 500000000 512 0 100 300 true /x [map[Path:/dev/sda Rate:1048576]]",
		"inspect", "-f",
		"{{with .HostConfig}}{{.Memory}} {{.MemorySwap}} {{.MemoryReservation}} {{.MemorySwappiness}} {{.NanoCpus}} "+
			"{{.CpuShares}} {{.CpusetCpus}} "+
			"{{.PidsLimit}} {{.BlkioWeight}} {{.OomKillDisable}} {{.CgroupParent}} {{.BlkioDeviceReadBps}}{{end}}",
		"c1")
	u.failed(u.try("create", "--cpu-quota", "50000", "--cpu-period", "100000", "bb"), 0,
		"--cpu-period, --cpu-quota without effect")
	if r := u.try("create", "--memory", "0", "--pids-limit", "-1", "--memory-swappiness", "-1", "bb"); r.code != 0 ||
		r.stderr != "" {
		t.Errorf("no limits: %+v", r)
	}
	for flag, part := range map[string]string{
		"--memory=1m": "6MB", "--memory=x": "size", "--memory-swap=10m": "--memory", "--memory-swappiness=101": "100",
		"--cpus=1000": "CPUs available",
		"--cpus=x":    "number", "--cpu-period=10": "1ms", "--cpu-quota=10": "1ms", "--cpuset-cpus=a": "0-3,5",
		"--cpuset-cpus=8000": "available",
		"--cpuset-mems=99":   "available", "--blkio-weight=5": "from 10 to 1000", "--pids-limit=x": "pids-limit",
		"--blkio-weight-device=sda:10":   "/dev/",
		"--device-write-iops=/dev/sda:x": "rate",
	} {
		u.fails(125, []string{part}, "create", flag, "bb")
	}
	u.fails(125, []string{"--cpus", "--cpu-period"}, "create", "--cpus=1", "--cpu-period=1000", "bb")
	u.fails(125, []string{"--memory-swap"}, "create", "-m", "20m", "--memory-swap", "10m", "bb")
	u.fails(125, []string{"--memory-reservation"}, "create", "-m", "20m", "--memory-reservation", "30m", "bb")
}

// TestUlimits sets limits of processes, which hold in the container and in what is executed there.
func TestUlimits(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "-d", "--name", "c1", "--ulimit", "nofile=64:100", "--ulimit", "core=0", "bb", "sh", "-c",
		"ulimit -Sn; ulimit -Hn; ulimit -c; sleep 1000")
	eventually(t, "output", func() bool { return u.run("logs", "c1") == "64\n100\n0" })
	u.prints("64\n100", "exec", "c1", "sh", "-c", "ulimit -Sn; ulimit -Hn")
	u.prints("[map[Hard:100 Name:nofile Soft:64] map[Hard:0 Name:core Soft:0]]", "inspect", "-f",
		"{{with .Id}}{{end}}{{.HostConfig.Ulimits}}", "c1")
	u.fails(125, []string{"hard limit", "nofile=1:2000000000"}, "run", "--rm", "--ulimit", "nofile=1:2000000000", "bb",
		"true")
	u.fails(125, []string{"soft limit"}, "run", "--rm", "--ulimit", "nofile=10:5", "bb", "true")
	u.fails(125, []string{"ulimit type"}, "run", "--rm", "--ulimit", "odd=10", "bb", "true")
}

// TestFlagsThatChangeNothing gives flags of Docker's with the value that is the case anyway, and with others.
func TestFlagsThatChangeNothing(t *testing.T) {
	u := newUserWithImage(t)
	u.prints("ok", "run", "--rm", "--restart", "no", "--no-healthcheck", "--log-driver", "json-file",
		"--disable-content-trust", "--cgroupns", "private",
		"--ipc=private", "bb", "echo", "ok")
	for flag, part := range map[string]string{"--restart=always": "daemon", "--restart=on-failure:3": "daemon",
		"--log-driver=none":             "json-file",
		"--disable-content-trust=false": "policy.json", "--ipc=host": "namespace", "--cgroupns=host": "namespace"} {
		u.fails(125, []string{part, strings.Split(flag, "=")[0]}, "run", "--rm", flag, "bb", "true")
	}
	for _, option := range []string{"cached", "delegated", "consistent", "ro,cached"} {
		u.run("run", "--rm", "-v", u.path("home")+":/x:"+option, "bb", "test", "-d", "/x")
	}
	u.fails(125, []string{"nocopy", "named volumes"}, "run", "--rm", "-v", u.path("home")+":/x:nocopy", "bb", "true")
	u.run("create", "--name", "c1", "bb")
	u.prints("no json-file", "inspect", "-f", "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.LogConfig.Type}}", "c1")
}

// TestLabelFile reads labels from a file, and exposes ports.
func TestLabelFile(t *testing.T) {
	u := newUserWithImage(t)
	if err := os.WriteFile(u.path("home", "labels"), []byte("# comment\na=1\nb\nc=x y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.run("run", "-d", "--name", "c1", "--network", "none", "--label-file", "labels", "-l", "a=2", "--expose", "80",
		"--expose", "5000-5001/udp", "bb", "sleep", "1000")
	u.prints("a=2,b=,c=x y", "ps", "--format", "{{.Labels}}")
	u.prints("5000/udp, 5001/udp, 80/tcp", "ps", "--format", "{{.Ports}}")
	u.prints(`{"5000/udp":null,"5001/udp":null,"80/tcp":null}`, "inspect", "-f", "{{json .NetworkSettings.Ports}}",
		"c1")
	u.prints("c1", "ps", "-f", "expose=5001/udp", "--format", "{{.Names}}")
	u.fails(125, []string{"label file", "nosuch"}, "run", "--label-file", "nosuch", "bb")
	u.fails(125, []string{"--expose", "-p"}, "run", "--expose", "80:80", "bb")
}

// TestPublishAll publishes what the image and the command line expose, on free ports.
func TestPublishAll(t *testing.T) {
	u := newUser(t)
	u.importImage("bb", busyboxTree(t), "-c", "EXPOSE 80 53/udp", "-c", `CMD ["sleep", "1000"]`)
	port := freePort(t)
	u.run("run", "-d", "--name", "c1", "-P", "--expose", "81", "-p", fmt.Sprintf("%d:80", port), "bb", "sh", "-c",
		"nc -ll -p 81 -e echo hello")
	ports := u.inspect("c1").NetworkSettings.Ports
	if len(ports) != 3 || len(ports["80/tcp"]) != 1 || ports["80/tcp"][0].HostPort != fmt.Sprint(port) ||
		len(ports["53/udp"]) != 1 || len(ports["81/tcp"]) != 1 {
		t.Fatalf("ports: %+v", ports)
	}
	picked, err := strconv.Atoi(ports["81/tcp"][0].HostPort)
	if err != nil {
		t.Fatal(err)
	}
	if got := u.dial("127.0.0.1", picked); got != "hello\n" {
		t.Errorf("the port that was picked answers %q", got)
	}
	u.prints("c1", "ps", "-f", fmt.Sprintf("publish=%d", picked), "--format", "{{.Names}}")
	for _, mode := range []string{"none", "host"} {
		u.run("run", "--rm", "-P", "--network", mode, "bb", "true")
	}
	u.run("create", "--name", "c2", "--annotation", "org.example=1", "bb")
	u.prints("1", "inspect", "-f", `{{index .HostConfig.Annotations "org.example"}}`, "c2")
}
