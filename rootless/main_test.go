package rootless

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// childEnv makes the test binary serve instead of test, when it is started again in namespaces of its own.
const childEnv = "ROOTLESS_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Args[0] {
	case EnterStage:
		fmt.Fprintln(os.Stderr, Enter())
		os.Exit(1)
	case InsideStage:
		os.Exit(insideMain(os.Args[1], os.Args[2]))
	case runnerName:
		code, err := runInside("hold", os.Args[1])
		fmt.Fprintln(os.Stderr, code, err)
		os.Exit(1)
	}
	if os.Getenv(childEnv) != "" {
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serve greets every TCP connection to port 80 and returns when its stdin is closed.
func serve() error {
	l, err := net.Listen("tcp4", ":80")
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, "hello from inside")
			c.Close()
		}
	}()
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadByte()
	return nil
}

// startServer starts a serving child in user and network namespaces of its own.
func startServer(t *testing.T) (pid int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{childEnv + "=1"}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, cmd)
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the child in the namespaces says %q", line)
	}
	return cmd.Process.Pid
}

// start starts a command that ends when its stdin is closed, which is at the end of the test.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Wait() })
}
