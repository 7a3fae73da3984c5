// Package blobcache holds blobs on their way from a registry into the store. It lets the processes of a user fetch each
// blob once, and lets an interrupted download go on where it ended.
//
// Decisions and their reasons:
//
//   - A complete blob has its own name; while it arrives, it is "part" beside that name. No process sees a blob before
//     its size and digest are verified.
//   - A process that is going to need a blob claims it before it looks whether the store has the blob's content. The
//     last process that releases a blob removes it. This closes a race: if a blob is neither in the store nor here, no
//     process has fetched it, and the claimant must.
//   - Claims and the right to fetch are locks on open files, which end with the process. Both are ranges of one lock
//     file, which the last process removes, too: nothing is left of a blob that no process needs.
//   - A complete blob that a killed process has left counts as a part, because its content may never have reached the
//     disk. Hashing it again costs less than flushing every blob.
//   - Parts are kept for a day when a download ends early, unless their content was wrong.
package blobcache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// Suffixes of what lies beside a blob.
const (
	partSuffix = ".part"
	lockSuffix = ".lock"
)

// keepParts is how long an unfinished download is kept.
const keepParts = 24 * time.Hour

// maxStall is how long a download may bring nothing before it counts as interrupted.
const maxStall = 2 * time.Minute

// Cache is a directory of blobs that any number of processes share.
type Cache struct {
	dir   string
	stall time.Duration // maxStall
}

// New returns the cache in dir. The directory is made when it is needed.
func New(dir string) Cache { return Cache{dir: dir, stall: maxStall} }

// Claim is the right to rely on a blob until the claim is released. Its methods may be called from several goroutines.
type Claim struct {
	digest digest.Digest
	path   string // of the complete blob
	lock   *os.File
	stall  time.Duration // of the cache

	fetching sync.Mutex // within this process, whose goroutines share the lock of the file
}

// Claim claims a blob, whether the blob is there or not.
func (c Cache) Claim(d digest.Digest) (*Claim, error) {
	claim, err := c.claim(d)
	if err != nil {
		return nil, fmt.Errorf("claim blob %s: %w", d, err)
	}
	return claim, nil
}

func (c Cache) claim(d digest.Digest) (*Claim, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, err
	}
	claim := &Claim{digest: d, path: filepath.Join(c.dir, d.Algorithm().String()+"-"+d.Encoded()), stall: c.stall}
	lock, alone, err := openLock(claim.path + lockSuffix)
	if err != nil {
		return nil, err
	}
	claim.lock = lock
	if alone {
		err = ignoreMissing(os.Rename(claim.path, claim.path+partSuffix))
	}
	if err == nil {
		err = claimShared(lock)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return claim, nil
}

// Claimed tells whether any process has claimed a blob.
func (c Cache) Claimed(d digest.Digest) (bool, error) {
	claim, err := c.claim(d)
	if err != nil {
		return false, err
	}
	alone, err := claim.withdraw()
	return !alone, errors.Join(err, claim.leave(alone))
}

// Release gives up the claim. If nothing else has claimed the blob, what is there of it is removed, unless the caller
// wants to keep it for another attempt.
func (c *Claim) Release(keep bool) error {
	if keep {
		return c.ReleaseLast(nil)
	}
	return c.ReleaseLast(func() error {
		return errors.Join(ignoreMissing(os.Remove(c.path)), ignoreMissing(os.Remove(c.path+partSuffix)))
	})
}

// ReleaseLast gives up the claim. If nothing else has claimed the blob, it calls last first, unless that is nil;
// nothing can claim the blob meanwhile.
func (c *Claim) ReleaseLast(last func() error) error {
	alone, err := c.withdraw()
	if alone && last != nil {
		err = last()
	}
	return errors.Join(err, c.leave(alone))
}

// withdraw ends the claim, and tells whether it was the last one. If it was, nothing else can claim the blob until
// leave is called.
func (c *Claim) withdraw() (alone bool, err error) {
	if err := unlock(c.lock, claimByte); err != nil {
		return false, err
	}
	return tryExclusive(c.lock, claimByte)
}

func (c *Claim) leave(alone bool) (err error) {
	if alone {
		err = ignoreMissing(os.Remove(c.path + lockSuffix))
	}
	return errors.Join(err, c.lock.Close())
}

// Sweep removes unfinished downloads that nothing has continued for a day, and what else killed processes have left.
func (c Cache) Sweep() error { return c.sweep(time.Now().Add(-keepParts)) }

// Clear removes all unfinished downloads that no process has claimed.
func (c Cache) Clear() error { return c.sweep(time.Now().Add(time.Hour)) }

// sweep removes lock files that nothing has locked, and parts that nothing has claimed and that were last written
// before a time.
func (c Cache) sweep(before time.Time) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return ignoreMissing(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue // another process has removed it
		}
		isLock, isOld := strings.HasSuffix(entry.Name(), lockSuffix), info.ModTime().Before(before)
		if !isLock && !isOld {
			continue
		}
		algorithm, hex, _ := strings.Cut(entry.Name(), "-")
		hex, _, _ = strings.Cut(hex, ".")
		claim, err := c.claim(digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex))
		if err != nil {
			continue // not a file of this cache
		}
		if err := claim.Release(isLock); err != nil {
			return fmt.Errorf("remove unfinished download: %w", err)
		}
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
