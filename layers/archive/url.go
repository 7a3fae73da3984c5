package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/internal/intake"
	"github.com/rcrun/rcrun/layers/tree"
)

// Bounds on the server of a tar.
const (
	urlConnect = 30 * time.Second // to take a connection, and to begin its answer
	urlStall   = 60 * time.Second // to send anything
)

// IsURL tells whether the source of an import is one that OpenURL opens.
func IsURL(source string) bool {
	return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://")
}

// OpenURL asks a server for a tar to import. size is in bytes, 0 if the server does not tell it. Reading body fails if
// it is shorter than the server has said, if it is larger than a layer may be, or if nothing comes for a minute.
// Certificates and proxies are the host's.
func OpenURL(ctx context.Context, s *layers.Store, source string) (body io.ReadCloser, size int64, err error) {
	body, size, err = openURL(ctx, source, s.Core().Limits.OrDefaults().Bytes, urlStall)
	if err != nil {
		return nil, 0, fmt.Errorf("download %s: %w", withoutPassword(source), err)
	}
	return body, size, nil
}

func openURL(ctx context.Context, source string, limit int64, stall time.Duration) (io.ReadCloser, int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := getURL(ctx, source)
	if err != nil {
		cancel(nil)
		return nil, 0, err
	}
	if resp.StatusCode != http.StatusOK {
		err = fault.Errorf(answerClass(resp.StatusCode), "the server answers %s", resp.Status)
	} else if resp.ContentLength > limit {
		err = fmt.Errorf("%w: it has %d bytes, more than the %d that a layer may have", tree.ErrTooLarge,
			resp.ContentLength, limit)
	}
	if err != nil {
		cancel(nil)
		return nil, 0, errors.Join(err, resp.Body.Close())
	}
	timer := time.AfterFunc(stall, func() { cancel(fmt.Errorf("the server has sent nothing for %v", stall)) })
	return &urlBody{body: resp.Body, left: limit, ctx: ctx, cancel: cancel, timer: timer, stall: stall},
		max(0, resp.ContentLength), nil
}

// answerClass returns the class of an answer without a tar.
func answerClass(status int) error {
	switch status {
	case http.StatusNotFound, http.StatusGone:
		return errdefs.ErrNotFound
	case http.StatusUnauthorized:
		return errdefs.ErrUnauthenticated
	case http.StatusForbidden:
		return errdefs.ErrPermissionDenied
	}
	return errdefs.ErrUnavailable
}

func getURL(ctx context.Context, source string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	req.Header.Set("User-Agent", intake.UserAgent)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: urlConnect}).DialContext
	transport.ResponseHeaderTimeout = urlConnect
	transport.DisableCompression = true // the tar must come as it is
	client := &http.Client{Transport: transport, CheckRedirect: checkRedirect}
	resp, err := client.Do(req)
	return resp, withoutURL(err)
}

// checkRedirect follows redirects, but not from a verified server to one that is not.
func checkRedirect(req *http.Request, via []*http.Request) error {
	switch from := via[len(via)-1]; {
	case len(via) >= 10:
		return errors.New("the server redirects too often")
	case from.URL.Scheme == "https" && req.URL.Scheme != "https":
		return errors.New("the server redirects from https to " + req.URL.Scheme)
	}
	return nil
}

// withoutURL removes the address from an error, because the caller names it and because it may have a password.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

func withoutPassword(source string) string {
	parsed, err := url.Parse(source)
	if err != nil {
		return "URL"
	}
	return parsed.Redacted()
}

// urlBody is the body of a server's answer. Reading it fails if the server stops sending.
type urlBody struct {
	body   io.ReadCloser
	left   int64 // bytes that it may still have
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
}

func (b *urlBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.stall)
	n, err := b.body.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, fmt.Errorf("%w: the download has more bytes than a layer may have", tree.ErrTooLarge)
	}
	if err != nil && err != io.EOF {
		if cause := context.Cause(b.ctx); cause != nil {
			err = cause
		}
		err = fmt.Errorf("download: %w", err)
	}
	return n, err
}

// Close ends the request, even if not all was read.
func (b *urlBody) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.body.Close()
}
