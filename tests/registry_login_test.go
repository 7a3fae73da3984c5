package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// startPrivateRegistry starts a registry with TLS, by a certificate of its own, that lets in one user: "me" with the
// password "secret". It returns the directory of the certificate that clients must trust.
func (u *user) startPrivateRegistry() (server *registryServer, certDir string) {
	u.t.Helper()
	certDir = u.path("home", "certs")
	if err := os.Mkdir(certDir, 0o700); err != nil {
		u.t.Fatal(err)
	}
	key := u.path("home", "registry.key")
	u.makeCertificate(certDir+"/ca.crt", key)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		u.t.Fatal(err)
	}
	passwords := u.path("home", "htpasswd")
	if err := os.WriteFile(passwords, fmt.Appendf(nil, "me:%s\n", hash), 0o600); err != nil {
		u.t.Fatal(err)
	}
	return u.startRegistry("REGISTRY_HTTP_TLS_CERTIFICATE="+certDir+"/ca.crt", "REGISTRY_HTTP_TLS_KEY="+key,
			"REGISTRY_AUTH=htpasswd", "REGISTRY_AUTH_HTPASSWD_REALM=test", "REGISTRY_AUTH_HTPASSWD_PATH="+passwords),
		certDir
}

// makeCertificate makes a certificate for the loopback interface that signs itself.
func (u *user) makeCertificate(certFile, keyFile string) {
	u.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		u.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "registry"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		u.t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		u.t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert},
		keyFile: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			u.t.Fatal(err)
		}
	}
}

func TestLogin(t *testing.T) {
	u := newUser(t)
	server, certs := u.startPrivateRegistry()
	p := newPicture("app:v1", busyboxTree(t))
	u.succeeded(u.tryWith(p.dockerArchive(t), "load"))
	name := server.host + "/app:v1"
	login := []string{"login", "--cert-dir", certs, "--tls-verify=true", "-u", "me", "--password-stdin", server.host}
	push := []string{"push", "-q", "--cert-dir", certs, "--tls-verify=true", "app:v1", name}
	pull := []string{"pull", "-q", "--cert-dir", certs, "--tls-verify=true", name}

	u.fails(125, []string{"authentication required"}, push...)
	u.fails(125, []string{"certificate"}, "login", "--tls-verify=true", "-u", "me", "-p", "secret", server.host)
	u.failed(u.tryWith([]byte("wrong\n"), login...), 125, "does not accept the user name and password")
	u.fails(125, []string{"--username"}, "login", "--password-stdin", server.host)
	u.failed(u.tryWith(nil, "login", server.host), 125, "not a terminal")
	u.fails(125, []string{"not logged in"}, "login", "--get-login", server.host)
	u.fails(125, []string{"authentication required"}, push...)

	if got := u.succeeded(u.tryWith([]byte("secret\n"), login...)); got != "Login Succeeded" {
		t.Errorf("login printed %q", got)
	}
	if info, err := os.Stat(u.path("run", "containers", "auth.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the credentials: %v, %v", info, err)
	}
	u.prints("me", "login", "--get-login", server.host)
	u.fails(125, []string{"authentication required"}, append(push, "--creds", "me:wrong")...)
	u.prints("Authenticating with existing credentials...\nLogin Succeeded", "login", "--cert-dir", certs,
		"--tls-verify=true", server.host)
	u.prints(name, push...)
	u.run("rmi", "app:v1")
	u.prints(p.id(t), pull...)
	u.fails(125, []string{"certificate"}, "pull", "-q", "--tls-verify=true", name)

	u.prints("Removing login credentials for "+server.host, "logout", server.host)
	u.fails(125, []string{"authentication required"}, pull...)
	u.fails(125, []string{"not logged in"}, "logout", server.host)
	u.prints(p.id(t), append(pull, "--creds", "me:secret")...)
	term := u.onTerminal("login", server.host) // on loopback no certificate is asked for
	term.expect("Username: ")
	term.types("me\n")
	term.expect("Password: ")
	term.types("secret\n")
	term.expect("Login Succeeded")
	if code := term.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	u.prints(p.id(t), pull...)
	u.run("logout", "--all")
	u.fails(125, []string{"authentication required"}, pull...)
}

// TestSharedCredentials uses what podman, docker and a credential helper keep, and has podman use what we keep.
func TestSharedCredentials(t *testing.T) {
	u := newUserBeside(t, &hostMounts)
	server, _ := u.startPrivateRegistry()
	p := newPicture("app:v1", busyboxTree(t))
	u.succeeded(u.tryWith(p.dockerArchive(t), "load"))
	name := server.host + "/app:v1"
	u.run("login", "-u", "me", "-p", "secret", server.host)
	u.run("push", "-q", "app:v1", name)
	defer u.removePodman()
	podman := func(args ...string) result {
		t.Helper()
		return u.finish(u.command("podman", args...))
	}
	if got := u.succeeded(podman("login", "--get-login", server.host)); got != "me" {
		t.Errorf("podman is logged in as %q", got)
	}
	u.succeeded(podman("logout", server.host))
	pull := []string{"pull", "-q", name}
	u.fails(125, []string{"authentication required"}, pull...)
	u.succeeded(podman("login", "--tls-verify=false", "-u", "me", "-p", "secret", server.host))
	u.prints(p.id(t), pull...)
	u.run("logout", server.host)
	if r := podman("login", "--get-login", server.host); r.code == 0 {
		t.Errorf("podman is still logged in as %q", r.stdout)
	}

	// docker's file, which we leave alone
	docker := u.path("home", ".docker")
	if err := os.Mkdir(docker, 0o700); err != nil {
		t.Fatal(err)
	}
	auth := base64.StdEncoding.EncodeToString([]byte("me:secret"))
	u.writeFile(docker+"/config.json", fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, server.host, auth))
	u.prints(p.id(t), pull...)
	u.fails(125, []string{"kept by another program"}, "logout", server.host)
	u.prints(p.id(t), pull...)

	// a credential helper
	u.writeFile(u.path("home", "docker-credential-test"),
		"#!/bin/sh\n[ \"$1\" = get ] && echo '{\"Username\": \"me\", \"Secret\": \"secret\"}'\n")
	u.writeFile(docker+"/config.json", fmt.Sprintf(`{"credHelpers": {%q: "test"}}`, server.host))
	u.fails(125, []string{"docker-credential-test"}, pull...)
	u.setenv("PATH", u.path("home")+":"+os.Getenv("PATH"))
	u.prints(p.id(t), pull...)
}

// TestLoginWithoutSession logs in on a host without a directory for the user's session, and to files of one's choice.
func TestLoginWithoutSession(t *testing.T) {
	u := newUser(t)
	server, _ := u.startPrivateRegistry()
	u.setenv("XDG_RUNTIME_DIR", "")
	u.run("login", "-u", "me", "-p", "secret", server.host)
	path := u.path("home", ".config", "containers", "auth.json")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the credentials: %v, %v", info, err)
	}
	u.fails(125, []string{"manifest unknown"}, "pull", "-q", server.host+"/app")
	u.run("logout", server.host)
	u.fails(125, []string{"authentication required"}, "pull", "-q", server.host+"/app")

	mine := u.path("home", "mine.json")
	u.run("login", "--authfile", mine, "-u", "me", "-p", "secret", server.host)
	u.fails(125, []string{"authentication required"}, "pull", "-q", server.host+"/app")
	u.fails(125, []string{"manifest unknown"}, "pull", "-q", "--authfile", mine, server.host+"/app")
	u.setenv("REGISTRY_AUTH_FILE", mine)
	u.fails(125, []string{"manifest unknown"}, "pull", "-q", server.host+"/app")
}

// writeFile writes a file that can be executed.
func (u *user) writeFile(path, content string) {
	u.t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
		u.t.Fatal(err)
	}
}
