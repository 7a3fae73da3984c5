package registry

import (
	"cmp"
	"net"
	"os"
	"path/filepath"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/types"

	"github.com/rcrun/rcrun/layers/internal/intake"
)

// Options says how to talk to registries.
type Options struct {
	// DockerConfig is a directory whose config.json keeps credentials in Docker's form. AuthFile comes before it.
	DockerConfig string
	// AuthFile is the file that keeps credentials; "" is where podman and docker keep them.
	AuthFile string
	// Credentials come before those that are kept, unless they are empty.
	Credentials Credentials
	// TLSVerify says whether a registry must have a certificate that this host trusts. nil means yes, except for
	// registries on the loopback interface and those that registries.conf calls insecure: these may speak plain HTTP.
	TLSVerify *bool
	// CertDir has certificates for a registry, in the form of the directories of /etc/containers/certs.d; "" is those
	// directories.
	CertDir string
	// Retry is for errors that may pass: lost connections, and a registry that is overloaded or being restarted.
	Retry Retry
}

// apply sets what the options say about the registry of a domain (HOST[:PORT]).
func (o Options) apply(sys *types.SystemContext, domain string) {
	sys.DockerRegistryUserAgent = intake.UserAgent
	sys.DockerCertPath = o.CertDir
	switch {
	case o.AuthFile == "" && o.DockerConfig != "":
		sys.DockerCompatAuthFilePath = filepath.Join(o.DockerConfig, "config.json")
	default:
		sys.AuthFilePath = cmp.Or(o.AuthFile, os.Getenv("REGISTRY_AUTH_FILE"))
	}
	if o.Credentials != (Credentials{}) {
		sys.DockerAuthConfig = &types.DockerAuthConfig{Username: o.Credentials.Username,
			Password: o.Credentials.Password}
	}
	sys.DockerInsecureSkipTLSVerify = insecure(domain, o.TLSVerify)
}

// insecure tells whether a connection may do without a trusted certificate.
func insecure(domain string, verify *bool) types.OptionalBool {
	if verify != nil {
		return types.NewOptionalBool(!*verify)
	}
	if isLoopback(domain) {
		return types.OptionalBoolTrue
	}
	return types.OptionalBoolUndefined
}

// isLoopback tells whether a registry's host[:port] is this machine.
func isLoopback(domain string) bool {
	host, _, err := net.SplitHostPort(domain)
	if err != nil {
		host = domain
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// system returns a copy of the transfer's settings for the registry of an image.
func system(t *intake.Transfer, name reference.Named, opts Options) *types.SystemContext {
	sys := *t.Sys
	opts.apply(&sys, reference.Domain(name))
	return &sys
}
