package rootless

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
)

// hostForward holds the arguments of slirp4netns's command add_hostfwd.
type hostForward struct {
	Protocol  string `json:"proto"`
	HostAddr  string `json:"host_addr"`
	HostPort  uint16 `json:"host_port"`
	GuestAddr string `json:"guest_addr"`
	GuestPort uint16 `json:"guest_port"`
}

type slirpRequest struct {
	Execute   string      `json:"execute"`
	Arguments hostForward `json:"arguments"`
}

type slirpReply struct {
	Error *struct {
		Desc string `json:"desc"`
	} `json:"error"`
}

func (s *Slirp) forward(ctx context.Context, p PortMapping) error {
	host := p.HostIP
	if host == "" {
		host = "0.0.0.0"
	}
	if addr, err := netip.ParseAddr(host); err != nil || !addr.Is4() {
		return fault.Errorf(errdefs.ErrNotImplemented, "slirp4netns publishes on IPv4 addresses only")
	}
	return s.call(ctx, slirpRequest{Execute: "add_hostfwd", Arguments: hostForward{
		Protocol:  p.Protocol,
		HostAddr:  host,
		HostPort:  p.HostPort,
		GuestAddr: SlirpAddress,
		GuestPort: p.ContainerPort,
	}})
}

// call sends one command over a connection of its own, as the protocol demands.
func (s *Slirp) call(ctx context.Context, request slirpRequest) error {
	address, release, err := socketAddress(s.socket)
	if err != nil {
		return fmt.Errorf("speak to slirp4netns: %w", err)
	}
	defer release()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", address)
	if err != nil {
		return fmt.Errorf("speak to slirp4netns: %w", s.said.explain(err))
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		return fmt.Errorf("speak to slirp4netns: %w", err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return fmt.Errorf("speak to slirp4netns: %w", err)
	}
	var reply slirpReply
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		return fmt.Errorf("speak to slirp4netns: %w", s.said.explain(err))
	}
	if reply.Error != nil {
		return fmt.Errorf("slirp4netns: %s", reply.Error.Desc)
	}
	return nil
}
