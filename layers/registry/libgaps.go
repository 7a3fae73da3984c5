package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"

	"go.podman.io/image/v5/types"
)

// The library can read a part of a blob, but the method that does takes a slice of a type that only the library can
// name. So the method is found by its name, which has been the same since the library got it in 2021; TestPullResumes
// fails should that change. This file can go when the library exports the type.

// openRange asks a registry for the rest of a blob, from the offset on.
func openRange(ctx context.Context, src types.ImageSource, blob types.BlobInfo, offset int64) (_ io.ReadCloser,
	err error) {
	get := reflect.ValueOf(src).MethodByName("GetBlobAt")
	if !get.IsValid() || get.Type().NumIn() != 3 || get.Type().In(2).Kind() != reflect.Slice {
		return nil, errors.New("no part of a blob can be read")
	}
	chunks := reflect.MakeSlice(get.Type().In(2), 1, 1)
	chunks.Index(0).FieldByName("Offset").SetUint(uint64(offset))
	chunks.Index(0).FieldByName("Length").SetUint(math.MaxUint64) // to the end
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	results := get.Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(blob), chunks})
	if err, ok := results[2].Interface().(error); ok {
		return nil, err
	}
	streams, errs := results[0].Interface().(chan io.ReadCloser), results[1].Interface().(chan error)
	for {
		select {
		case body, ok := <-streams:
			if ok {
				return cancelReader{body, cancel}, nil
			}
			streams = nil
		case err, ok := <-errs:
			if ok {
				return nil, err
			}
			errs = nil
		}
		if streams == nil && errs == nil {
			return nil, fmt.Errorf("the registry sent nothing from byte %d on", offset)
		}
	}
}

// cancelReader ends the request when it is closed. The library would first read the body to its end.
type cancelReader struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (r cancelReader) Close() error {
	r.cancel()
	return r.ReadCloser.Close()
}
