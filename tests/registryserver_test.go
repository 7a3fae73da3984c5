package tests

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// registryServer is Debian's docker-registry on the loopback interface.
type registryServer struct {
	host string // and port
	log  string // a file
}

var registryAddress = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)

// startRegistry starts an empty registry for as long as the test runs. settings are environment variables that change
// its configuration.
func (u *user) startRegistry(settings ...string) *registryServer {
	u.t.Helper()
	dir, err := os.MkdirTemp(u.dir, "registry")
	if err != nil {
		u.t.Fatal(err)
	}
	config := fmt.Sprintf("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s/data\nhttp:\n  addr: "+
		"127.0.0.1:0\n", dir)
	if err := os.WriteFile(dir+"/config.yml", []byte(config), 0o600); err != nil {
		u.t.Fatal(err)
	}
	r := &registryServer{log: dir + "/log"}
	log, err := os.Create(r.log)
	if err != nil {
		u.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("docker-registry", "serve", dir+"/config.yml")
	cmd.Env, cmd.Stdout, cmd.Stderr = append(u.env, settings...), log, log
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait() // that it was killed is no error
	})
	eventually(u.t, "the registry listens", func() bool {
		found := registryAddress.FindStringSubmatch(r.requests(u.t))
		if found != nil {
			r.host = found[1]
		}
		return found != nil
	})
	return r
}

// requests returns what the registry has logged.
func (r *registryServer) requests(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(r.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// blobRequest is a line of the log in which a blob is sent, in whole or in part.
var blobRequest = regexp.MustCompile(`"GET /v2/[^ ]*/blobs/(sha256:[0-9a-f]+) [^"]*" 20[06]`)

// fetched returns how often the registry has sent each blob.
func (r *registryServer) fetched(t *testing.T) map[string]int {
	t.Helper()
	times := map[string]int{}
	for _, found := range blobRequest.FindAllStringSubmatch(r.requests(t), -1) {
		times[found[1]]++
	}
	return times
}

// put has skopeo push an image to a registry of this machine under the name NAME[:TAG], and returns its full name.
func (u *user) put(host, name string, p picture) string {
	u.t.Helper()
	path := u.path("home", "image.tar")
	if err := os.WriteFile(path, p.dockerArchive(u.t), 0o600); err != nil {
		u.t.Fatal(err)
	}
	u.succeeded(u.finish(u.command("skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false",
		"docker-archive:"+path, "docker://"+host+"/"+name)))
	return host + "/" + name
}

// lines returns the lines of a text that begin with prefix.
func lines(text, prefix string) []string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			found = append(found, strings.TrimSuffix(line, "\n"))
		}
	}
	return found
}
