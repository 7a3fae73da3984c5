package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"

	"github.com/rcrun/rcrun/layers/imagename"
	"github.com/rcrun/rcrun/layers/internal/core"
	"github.com/rcrun/rcrun/layers/internal/intake"
	"github.com/rcrun/rcrun/layers/progress"
	"github.com/rcrun/rcrun/layers/tree"
)

// download is the pull of one image under a name that is decided.
type download struct {
	t      *intake.Transfer
	opts   PullOptions
	name   reference.Named
	sys    *types.SystemContext // for the registry
	report *progress.Report

	ref      types.ImageReference
	src      types.ImageSource
	top      []byte               // what the registry has under the name: an image's manifest or a list
	image    *image.UnparsedImage // the image of our platform
	manifest []byte               // its manifest
	claims   intake.Claims
	ahead    map[digest.Digest]*future // what is fetched before it is asked for
}

// pullFrom pulls an image from the registry that its name says.
func pullFrom(ctx context.Context, t *intake.Transfer, name reference.Named, opts PullOptions) (_ Pulled, err error) {
	d := &download{t: t, opts: opts, name: name, sys: system(t, name, opts.Options),
		report: progress.NewReport(opts.Progress)}
	if err := d.open(ctx); err != nil {
		return Pulled{}, err
	}
	defer func() { err = errors.Join(err, d.src.Close()) }()
	if err := d.choose(ctx); err != nil {
		return Pulled{}, err
	}
	layers, config, err := d.parts()
	if err != nil {
		return Pulled{}, err
	}
	if d.claims, err = intake.Claim(t.Store, slices.Concat(layers, config, []digest.Digest{d.digest()})); err != nil {
		return Pulled{}, err
	}
	// The next attempt can use what has been fetched.
	defer func() { err = errors.Join(err, d.claims.Release(err != nil)) }()
	d.report.Begin(name.String(), layers)
	return d.run(ctx)
}

// open asks the registry what it has under the name.
func (d *download) open(ctx context.Context) (err error) {
	if d.ref, err = docker.NewReference(d.name); err != nil {
		return err
	}
	return d.opts.Retry.do(ctx, func() error {
		d.src, err = d.ref.NewImageSource(ctx, d.sys)
		return err
	})
}

// choose finds the image for the wanted platform, and asks the signature policy about it. From then on the pull uses
// only what the policy has judged: the manifest names everything else by digest.
func (d *download) choose(ctx context.Context) error {
	return d.opts.Retry.do(ctx, func() error {
		top, _, err := d.src.GetManifest(ctx, nil)
		if err != nil {
			return err
		}
		instance, err := intake.InstanceOf(ctx, d.sys, d.src)
		if err != nil {
			return err
		}
		d.top, d.image = top, image.UnparsedInstance(d.src, instance)
		if err := intake.Allow(ctx, d.t.Policy, d.image); err != nil {
			return err
		}
		if d.manifest, _, err = d.image.Manifest(ctx); err != nil {
			return err
		}
		return d.checkPlatform(ctx)
	})
}

// checkPlatform refuses an image of another platform than the caller has named. It does not believe what a list says of
// its images.
func (d *download) checkPlatform(ctx context.Context) error {
	if d.opts.Platform == "" {
		return nil
	}
	img, err := image.FromUnparsedImage(ctx, d.sys, d.image)
	if err != nil {
		return err
	}
	config, err := img.OCIConfig(ctx)
	if err != nil {
		return err
	}
	return imagename.Fits(d.sys, config.Platform, reference.FamiliarString(d.name))
}

// parts returns the digests of the image's layers, the lowest first, and of its configuration, if it has one.
func (d *download) parts() (layers, config []digest.Digest, err error) {
	_, kind, err := d.image.Manifest(context.Background()) // is in memory already
	if err != nil {
		return nil, nil, err
	}
	m, err := manifest.FromBlob(d.manifest, kind)
	if err != nil {
		return nil, nil, err
	}
	for _, layer := range m.LayerInfos() {
		if err := d.checkSize(layer.BlobInfo, kind); err != nil {
			return nil, nil, err
		}
		layers = append(layers, layer.Digest)
	}
	if info := m.ConfigInfo(); info.Digest != "" {
		config = append(config, info.Digest)
	}
	return layers, config, nil
}

// checkSize refuses a layer whose size in the manifest would not bound its download. Manifests of the first kind tell
// no sizes.
func (d *download) checkSize(layer types.BlobInfo, kind string) error {
	first := kind == manifest.DockerV2Schema1MediaType || kind == manifest.DockerV2Schema1SignedMediaType
	switch most := d.largestBlob(); {
	case layer.Size < 0 && !first:
		return fmt.Errorf("layer %s has the size %d in the manifest", layer.Digest, layer.Size)
	case layer.Size > most:
		return fmt.Errorf("layer %s: %w: it has %d bytes in the manifest, more than %d", layer.Digest, tree.ErrTooLarge,
			layer.Size, most)
	}
	return nil
}

// largestBlob is how many bytes the blob of a layer may have: the content of the layer's files, and the headers of its
// tar.
func (d *download) largestBlob() int64 {
	const header = 4 << 10
	limits := d.t.Store.Core().Limits.OrDefaults()
	return limits.Bytes + int64(limits.Entries)*header
}

// digest returns the digest of the image's manifest.
func (d *download) digest() digest.Digest { return digest.FromBytes(d.manifest) }

// run gets the image into the store unless it is there. Of several processes that want the same image, one works and
// the others find it afterwards. A process that holds the lock of an image waits for the locks of its blobs, never the
// other way round.
func (d *download) run(ctx context.Context) (_ Pulled, err error) {
	done, err := d.claims[d.digest()].Lock(ctx, nil)
	if err != nil {
		return Pulled{}, err
	}
	defer func() { err = errors.Join(err, done()) }()
	before := d.current(ctx)
	id, err := intake.WhileRemoved(func() (string, error) {
		if id, err := d.adopt(); id != "" || err != nil {
			return id, err
		}
		return d.fetch(ctx)
	})
	if err != nil {
		return Pulled{}, err
	}
	img, err := d.t.Store.Image(ctx, id)
	if err != nil {
		return Pulled{}, err
	}
	return Pulled{
		Image:        *img,
		Name:         d.name.String(),
		FamiliarName: reference.FamiliarString(d.name),
		RepoDigest:   digest.FromBytes(d.top),
		UpToDate:     before == id,
	}, nil
}

// current returns the id of the image that has the name now, "" if none has it.
func (d *download) current(ctx context.Context) string {
	if record, err := d.t.Store.Find(ctx, d.name.String()); err == nil {
		return record.ID
	}
	return ""
}

// adopt gives the name to the image if the store has it, and returns the image's id, else "".
func (d *download) adopt() (id string, err error) {
	record, err := d.find()
	if record == nil || err != nil {
		return "", err
	}
	if !intake.HasLayers(d.t.Store, record) {
		return "", nil
	}
	for layer := range d.report.States {
		d.report.Layer(layer, progress.LayerExists, 0, 0)
	}
	return record.ID, d.nameIt(record.ID)
}

// find looks for the image by its manifest and by its configuration, and returns nil if it is not there. An image that
// was made here has another manifest than the one in the registry, and other layers than the library would give it, so
// that the library refuses to copy it.
func (d *download) find() (*storage.Image, error) {
	records, err := d.t.Store.Core().Lib.ImagesByDigest(d.digest())
	if err == nil && len(records) > 0 {
		return records[0], nil
	}
	if err != nil && !errors.Is(err, storage.ErrImageUnknown) {
		return nil, err
	}
	_, config, err := d.parts()
	if err != nil || len(config) == 0 {
		return nil, err
	}
	record, err := d.t.Store.Core().Lib.Image(config[0].Encoded())
	if core.IsMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	key := storage.ImageDigestManifestBigDataNamePrefix + "-" + d.digest().String()
	if err := d.t.Store.Core().Lib.SetImageBigData(record.ID, key, d.manifest, manifest.Digest); err != nil {
		return nil, fmt.Errorf("keep the manifest: %w", err)
	}
	return record, nil
}

// nameIt gives the name to an image that is in the store. From then on the digest of the list that led to it finds the
// image, too.
func (d *download) nameIt(id string) error {
	if err := d.t.Store.NoteRepoDigest(id, d.name, d.top); err != nil {
		return err
	}
	return d.t.Store.Core().Lib.AddNames(id, []string{d.name.String()})
}

// fetch copies the image, which the policy has allowed, from the registry.
func (d *download) fetch(ctx context.Context) (id string, err error) {
	policy, err := signature.NewPolicyContext(intake.AcceptAll())
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, policy.Destroy()) }()
	in := intake.Incoming{Src: claimedReference{d.ref, d}, Name: d.name, Policy: policy, Report: d.report,
		Ahead: d.fetchAhead}
	if id, err = d.t.Take(ctx, in); err != nil {
		return "", err
	}
	d.report.Finish()
	return id, d.t.Store.NoteRepoDigest(id, d.name, d.top)
}

// blob returns one of the claimed blobs.
func (d *download) blob(ctx context.Context, info types.BlobInfo) (io.ReadCloser, error) {
	if f := d.ahead[info.Digest]; f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if f.err != nil {
			return nil, f.err
		}
	}
	return d.fetchBlob(ctx, info)
}

// fetchBlob returns a blob, and fetches it if no process has done so.
func (d *download) fetchBlob(ctx context.Context, info types.BlobInfo) (body io.ReadCloser, err error) {
	claim, ok := d.claims[info.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s is no part of the image", info.Digest)
	}
	info.URLs = nil // the library would ask the servers that a manifest names before the registry
	source := func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		d.report.Layer(info.Digest, progress.LayerTransfer, offset, info.Size)
		body, err := openBlobAt(ctx, d.src, info, offset)
		if err != nil {
			return nil, err
		}
		if info.Size < 0 {
			body = &boundedBody{body, d.largestBlob() - offset}
		}
		return d.report.Reader(info.Digest, body, offset, info.Size), nil
	}
	waiting := func() { d.report.Layer(info.Digest, progress.LayerWaiting, 0, info.Size) }
	err = d.opts.Retry.do(ctx, func() error {
		body, err = claim.Fetch(ctx, info.Size, source, waiting)
		return err
	})
	if err != nil {
		return nil, err
	}
	d.report.Layer(info.Digest, progress.LayerTransferred, 0, info.Size)
	return body, nil
}

// boundedBody is a blob of unknown size. Reading it fails when it becomes larger than any layer may be.
type boundedBody struct {
	io.ReadCloser
	left int64 // bytes
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, fmt.Errorf("%w: its blob has more bytes than its files may have", tree.ErrTooLarge)
	}
	return n, err
}
