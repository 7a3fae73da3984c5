package tests

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideEnv makes this program, in a container, do something else than testing: one of the following.
const insideEnv = "RCRUN_INSIDE"

var insiders = map[string]func(args []string) error{
	"echo":   echoDatagrams,
	"server": askServer,
	"hold":   holdUnnamed,
}

func runInsider(name string) int {
	if err := insiders[name](os.Args[1:]); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// insider returns the flags of run by which a container of any image does what name says, given arguments after the
// image.
func insider(name string) []string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return []string{"-v", self + ":/insider:ro", "-e", insideEnv + "=" + name, "--entrypoint", "/insider"}
}

// echoDatagrams answers each datagram to the port with the sender's address and the datagram.
func echoDatagrams(args []string) error {
	conn, err := net.ListenPacket("udp4", ":"+args[0])
	if err != nil {
		return err
	}
	buffer := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return err
		}
		host, _, _ := net.SplitHostPort(from.String())
		conn.WriteTo(fmt.Appendf(nil, "%s %s", host, buffer[:n]), from)
	}
}

// holdUnnamed keeps a number of removed files open until a signal.
func holdUnnamed(args []string) error {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var files []*os.File
	for i := range count {
		file, err := os.CreateTemp("/", "unnamed")
		if err != nil {
			return err
		}
		if _, err := file.WriteString(strconv.Itoa(i)); err != nil {
			return err
		}
		if err := os.Remove(file.Name()); err != nil {
			return err
		}
		files = append(files, file)
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	fmt.Println("holds", count)
	<-asked
	for i, file := range files {
		text := make([]byte, 16)
		if n, _ := file.ReadAt(text, 0); string(text[:n]) != strconv.Itoa(i) {
			return fmt.Errorf("file %d has %q", i, text[:n])
		}
	}
	fmt.Println("has", count)
	return nil
}

// askServer prints who serves the root filesystem, or why that is not told.
func askServer([]string) error {
	value := make([]byte, 1<<10)
	n, err := unix.Getxattr("/", "user.rcrun.server", value)
	if err != nil {
		fmt.Println(err)
		return nil
	}
	fmt.Println(string(value[:n]))
	return nil
}
