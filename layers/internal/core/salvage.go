package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.podman.io/storage"
	"go.podman.io/storage/pkg/lockfile"

	"github.com/rcrun/rcrun/internal/atomicfile"
	"github.com/rcrun/rcrun/layers/driver"
)

// The library keeps all records of a kind in one file, and opens no store while it cannot read one of them. This file
// takes such a record out, so that the others can be used. A copy of the file as it was stays beside it.

// damagedMark is in the name of the copy of a file that had damaged records. The time at which they were taken out
// follows.
const damagedMark = ".damaged-"

// recordFiles are the files of records of each kind, with the test that a record must pass.
var recordFiles = map[string]struct {
	names []string
	check func(json.RawMessage) error
}{
	LayerRecords:     {[]string{"layers.json", "volatile-layers.json"}, checkLayerRecord},
	ImageRecords:     {[]string{"images.json"}, checkImageRecord},
	containerRecords: {[]string{"containers.json", "volatile-containers.json"}, checkContainerRecord},
}

// salvage takes damaged records out of the record files of a driver below root, and tells whether there were any.
func salvage(root, driver string) (found bool, err error) {
	for kind, files := range recordFiles {
		for _, name := range files.names {
			lost, err := salvageFile(filepath.Join(root, driver+"-"+kind), kind+".lock", name, files.check)
			if err != nil {
				return found, fmt.Errorf("take damaged records out of %s: %w", name, err)
			}
			found = found || lost
		}
	}
	return found, nil
}

func salvageFile(dir, lock, name string, check func(json.RawMessage) error) (found bool, err error) {
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	held, err := lockfile.GetLockFile(filepath.Join(dir, lock))
	if err != nil {
		return false, err
	}
	held.Lock()
	defer held.Unlock()
	data, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	good, whole := splitRecords(data, check)
	if whole {
		return false, nil
	}
	kept := path + damagedMark + strconv.FormatInt(time.Now().UnixNano(), 10)
	if err := atomicfile.Write(kept, data, 0o600); err != nil {
		return false, err
	}
	if _, err := held.RecordWrite(); err != nil { // so that other processes read the file again
		return false, err
	}
	return true, atomicfile.Write(path, joinRecords(good), 0o600)
}

// splitRecords returns the good records of a file, and whether the file has nothing else. After a syntax error it finds
// no more records, because nothing tells where the next one begins.
func splitRecords(data []byte, check func(json.RawMessage) error) (good []json.RawMessage, whole bool) {
	if len(data) == 0 {
		return nil, true // a new store
	}
	in := json.NewDecoder(bytes.NewReader(data))
	if start, err := in.Token(); start == nil && err == nil {
		return nil, true // null, which is a list without records
	} else if start != json.Delim('[') {
		return nil, false
	}
	whole = true
	for in.More() {
		var record json.RawMessage
		if in.Decode(&record) != nil {
			return good, false
		}
		if check(record) != nil {
			whole = false
			continue
		}
		good = append(good, record)
	}
	_, err := in.Token()
	return good, whole && err == nil
}

func joinRecords(records []json.RawMessage) []byte {
	parts := make([][]byte, len(records))
	for i, record := range records {
		parts[i] = record
	}
	return append(append([]byte{'['}, bytes.Join(parts, []byte{','})...), ']')
}

func checkLayerRecord(data json.RawMessage) error {
	var layer storage.Layer
	if err := json.Unmarshal(data, &layer); err != nil {
		return err
	}
	return driver.CheckID(layer.ID)
}

func checkContainerRecord(data json.RawMessage) error {
	var c storage.Container
	if err := json.Unmarshal(data, &c); err != nil {
		return err
	}
	return driver.CheckID(c.ID)
}

// checkImageRecord also checks the digests, because the library refuses a record with a bad one.
func checkImageRecord(data json.RawMessage) error {
	var img storage.Image
	if err := json.Unmarshal(data, &img); err != nil {
		return err
	}
	if img.Digest != "" {
		if err := img.Digest.Validate(); err != nil {
			return err
		}
	}
	for name, sum := range img.BigDataDigests {
		if !strings.HasPrefix(name, storage.ImageDigestManifestBigDataNamePrefix) {
			continue
		}
		if err := sum.Validate(); err != nil {
			return err
		}
	}
	return driver.CheckID(img.ID)
}
