package tests

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	imagecopy "go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/signature/signer"
	"go.podman.io/image/v5/signature/sigstore"
	"go.podman.io/image/v5/types"
)

// configure writes a file of the user's configuration of registries, which podman reads too.
func (u *user) configure(name, format string, args ...any) string {
	u.t.Helper()
	path := u.path("home", ".config", "containers", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		u.t.Fatal(err)
	}
	u.writeFile(path, fmt.Sprintf(format, args...))
	return path
}

// TestShortNames pulls by names without a registry, and uses the images by them.
func TestShortNames(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	p := newPicture("app:v1", busyboxTree(t), upperLayer(t))
	full := u.put(server.host, "team/app:v1", p)

	u.configure("registries.conf", "[aliases]\n\"shorty\" = \"%s/team/app\"\n", server.host)
	u.prints(p.id(t), "pull", "-q", "shorty:v1")
	u.hasImage(full, p.id(t))
	u.checkLayers("shorty:v1")
	u.fails(125, []string{server.host + "/team/app", "v2"}, "pull", "-q", "shorty:v2")
	u.prints(server.host+"/team/app:v1", "push", "-q", "shorty:v1")
	u.run("rmi", "shorty:v1")
	u.isEmptyStore()

	search := fmt.Sprintf("unqualified-search-registries = [\"127.0.0.1:1\", %q]\n", server.host)
	u.configure("registries.conf", "%s", search)
	u.prints(p.id(t), "pull", "-q", "team/app:v1")
	u.hasImage(full, p.id(t))
	u.checkLayers("team/app:v1")
	// Each that was tried says why not.
	u.fails(125, []string{"127.0.0.1:1/missing", "connection refused", server.host + "/missing", "manifest unknown"},
		"pull", "-q", "missing")

	u.configure("registries.conf", "short-name-mode = \"enforcing\"\n%s", search)
	u.fails(125, []string{"team/app:v1", server.host + "/team/app:v1", "full name"}, "pull", "-q", "team/app:v1")
	u.prints(p.id(t), "pull", "-q", full)
}

// TestMirror pulls from the mirror of a registry that cannot be reached, and not from one that is blocked.
func TestMirror(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	p := newPicture("app:v1", busyboxTree(t))
	u.put(server.host, "app:v1", p)
	u.configure("registries.conf",
		"[[registry]]\nlocation = \"registry.invalid\"\n[[registry.mirror]]\nlocation = %q\ninsecure = true\n"+
			"[[registry]]\nlocation = \"blocked.invalid\"\nblocked = true\n", server.host)
	u.prints(p.id(t), "pull", "-q", "registry.invalid/app:v1")
	u.hasImage("registry.invalid/app:v1", p.id(t))
	u.fails(125, []string{"blocked"}, "pull", "-q", "blocked.invalid/app:v1")
}

// TestSignaturePolicy pulls only what the policy allows: nothing, or what somebody has signed.
func TestSignaturePolicy(t *testing.T) {
	u := newUser(t)
	server := u.startRegistry()
	p := newPicture("app:v1", busyboxTree(t))
	unsigned := u.put(server.host, "app:unsigned", p)
	u.configure("policy.json", `{"default": [{"type": "reject"}]}`)
	u.fails(125, []string{"policy", "rejected"}, "pull", "-q", unsigned)
	u.isEmptyStore()

	u.configure("registries.d/test.yaml", "docker:\n  %s:\n    use-sigstore-attachments: true\n", server.host)
	signed := server.host + "/app:signed"
	key := u.sign(unsigned, signed)
	u.configure("policy.json",
		`{"default": [{"type": "reject"}], "transports": {"docker": {%q: [{"type": "sigstoreSigned", `+
			`"keyPath": %q, "signedIdentity": {"type": "matchRepository"}}]}}}`, server.host, key)
	other := u.put(server.host, "app:other", newPicture("app:v1", upperLayer(t)))
	u.fails(125, []string{"policy", "signature"}, "pull", "-q", other)
	u.isEmptyStore()
	u.prints(p.id(t), "pull", "-q", signed)
	// An image that is there already is judged, too.
	u.configure("policy.json", `{"default": [{"type": "reject"}]}`)
	u.fails(125, []string{"policy", "rejected"}, "pull", "-q", signed)
}

// TestSignaturePolicyAsked loads images that are in the store already, in whole or in part, and that are still judged.
func TestSignaturePolicyAsked(t *testing.T) {
	u := newUser(t)
	p := newPicture("app:v1", busyboxTree(t), upperLayer(t))
	u.succeeded(u.tryWith(p.dockerArchive(t), "load", "-q"))
	u.run("tag", "app:v1", "kept:1")
	u.configure("policy.json", `{"default": [{"type": "reject"}]}`)
	other := newPicture("other:v1", busyboxTree(t), upperLayer(t)) // of layers that are there
	other.config.Author = "somebody else"
	for what, archive := range map[string][]byte{
		"present, docker-archive": p.dockerArchive(t), "present, oci-archive": p.ociArchive(t),
		"layers present, docker-archive": other.dockerArchive(t), "layers present, oci-archive": other.ociArchive(t),
	} {
		u.run("untag", "kept:1", "app:v1")
		u.failed(u.tryWith(archive, "load", "-q"), 125, "policy", "rejected")
		u.prints("kept:1", "images", "--format", "{{.Repository}}:{{.Tag}}")
		if t.Failed() {
			t.Fatal(what)
		}
		u.run("tag", "kept:1", "app:v1")
	}
	u.configure("policy.json",
		`{"default": [{"type": "reject"}], "transports": {"docker-archive": {"": [{"type": "insecureAcceptAnything"}]}}}`)
	u.succeeded(u.tryWith(p.dockerArchive(t), "load", "-q"))
	u.failed(u.tryWith(p.ociArchive(t), "load", "-q"), 125, "policy", "rejected")
	// What is imported has no signatures.
	u.failed(u.tryWith(busyboxTree(t), "import", "-", "imported"), 125, "policy", "rejected")
	u.configure("policy.json",
		`{"default": [{"type": "reject"}], "transports": {"tarball": {"": [{"type": "insecureAcceptAnything"}]}}}`)
	u.succeeded(u.tryWith(busyboxTree(t), "import", "-", "imported"))
	// A key that tars should be signed with cannot be had.
	u.configure("policy.json", `{"default": [{"type": "sigstoreSigned", "keyPath": "/dev/null"}]}`)
	u.failed(u.tryWith(busyboxTree(t), "import", "-", "imported"), 125, "policy", "signature")
}

// sign copies an image within a registry and signs the copy. It returns the file of the key to verify it with.
func (u *user) sign(from, to string) (publicKey string) {
	u.t.Helper()
	keys, err := sigstore.GenerateKeyPair([]byte("passphrase"))
	if err != nil {
		u.t.Fatal(err)
	}
	u.writeFile(u.path("home", "private"), string(keys.PrivateKey))
	u.writeFile(u.path("home", "public"), string(keys.PublicKey))
	by, err := sigstore.NewSigner(sigstore.WithPrivateKeyFile(u.path("home", "private"), []byte("passphrase")))
	if err != nil {
		u.t.Fatal(err)
	}
	defer by.Close()
	policy, err := signature.NewPolicyContext(&signature.Policy{
		Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()},
	})
	if err != nil {
		u.t.Fatal(err)
	}
	defer policy.Destroy()
	src, err := docker.ParseReference("//" + from)
	if err != nil {
		u.t.Fatal(err)
	}
	dest, err := docker.ParseReference("//" + to)
	if err != nil {
		u.t.Fatal(err)
	}
	sys := &types.SystemContext{DockerInsecureSkipTLSVerify: types.OptionalBoolTrue,
		RegistriesDirPath: u.path("home", ".config", "containers", "registries.d")}
	if _, err := imagecopy.Image(context.Background(), policy, dest, src,
		&imagecopy.Options{SourceCtx: sys, DestinationCtx: sys, Signers: []*signer.Signer{by}}); err != nil {
		u.t.Fatal(err)
	}
	return u.path("home", "public")
}
