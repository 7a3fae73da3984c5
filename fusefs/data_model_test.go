package fusefs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDataModel does random operations on a file's data, through descriptors, a mapping and fallocate(2), and
// compares all of it with a plain slice of bytes. The file is one of a lower layer with two names, so that it is
// copied up somewhere on the way. RCRUN_DATA_SEED repeats a run, RCRUN_DATA_STEPS makes longer ones.
func TestDataModel(t *testing.T) {
	for name, set := range map[string]func(m *mounted){"plain": func(*mounted) {},
		"writeback":  func(m *mounted) { m.tuning.Writeback = true },
		"direct_io":  func(m *mounted) { m.tuning.DirectIO = true },
		"one thread": func(m *mounted) { m.tuning.Threads = 1 }} {
		for file := range 4 {
			t.Run(name+strconv.Itoa(file), func(t *testing.T) {
				m := newMounted(t, 2)
				set(m)
				if !inside() {
					must(t, os.WriteFile(m.lower(1)+"/file", initialData(), 0o644))
					must(t, os.Link(m.lower(1)+"/file", m.lower(1)+"/name"))
				}
				m.run(t, func(t *testing.T, mnt string) { testData(t, mnt) })
			})
		}
	}
}

func initialData() []byte { return bytes.Repeat([]byte("lower"), 20000) }

// mostData bounds the size of the file.
const mostData = 256 << 10

func testData(t *testing.T, mnt string) {
	seed, steps := uint64(time.Now().UnixNano()), 5000
	if text := os.Getenv("RCRUN_DATA_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	if text := os.Getenv("RCRUN_DATA_STEPS"); text != "" {
		steps, _ = strconv.Atoi(text)
	}
	d := &dataModel{t: t, r: rand.New(rand.NewPCG(seed, 0)), dir: mnt, want: initialData()}
	d.open()
	defer d.close()
	for range steps {
		d.step()
		if t.Failed() {
			t.Fatalf("RCRUN_DATA_SEED=%d, the last operations:\n%s", seed,
				strings.Join(d.log[max(0, len(d.log)-20):], "\n"))
		}
	}
}

// dataModel is a file and what it must hold.
type dataModel struct {
	t      *testing.T
	r      *rand.Rand
	dir    string
	fd     int
	mapped []byte // the file, shared; nil if it is not mapped
	want   []byte
	log    []string
}

func (d *dataModel) open() {
	path := d.dir + "/" + []string{"file", "name"}[d.r.IntN(2)]
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(d.t, err)
	d.fd = fd
}

func (d *dataModel) close() {
	d.unmap()
	must(d.t, unix.Close(d.fd))
}

func (d *dataModel) unmap() {
	if d.mapped != nil {
		must(d.t, unix.Munmap(d.mapped))
		d.mapped = nil
	}
}

// part returns a random part of what the file may hold.
func (d *dataModel) part() (offset, length int) {
	offset = d.r.IntN(mostData - 1)
	return offset, 1 + d.r.IntN(min(40<<10, mostData-offset))
}

// grow lets want have at least a size, with zeros.
func (d *dataModel) grow(size int) {
	if size > len(d.want) {
		d.want = append(d.want, make([]byte, size-len(d.want))...)
	}
}

func (d *dataModel) noise(length int) []byte {
	return bytes.Repeat([]byte{byte('A' + d.r.IntN(26))}, length)
}

func (d *dataModel) step() {
	steps := []struct {
		name string
		do   func(offset, length int)
	}{{"write", d.write}, {"write", d.write}, {"read", d.read}, {"read", d.read}, {"map", d.writeMapped},
		{"map", d.writeMapped}, {"truncate", d.truncate}, {"punch", d.punch},
		{"zero", d.zero}, {"allocate", d.allocate}, {"copy", d.copy}, {"reopen", d.reopen}, {"sync", d.sync},
		{"whole", d.whole}}
	s := steps[d.r.IntN(len(steps))]
	offset, length := d.part()
	d.log = append(d.log, fmt.Sprintf("%s %d %d, size %d", s.name, offset, length, len(d.want)))
	s.do(offset, length)
}

func (d *dataModel) write(offset, length int) {
	data := d.noise(length)
	n, err := unix.Pwrite(d.fd, data, int64(offset))
	if err != nil || n != length {
		d.t.Errorf("wrote %d of %d: %v", n, length, err)
	}
	d.grow(offset + length)
	copy(d.want[offset:], data)
}

func (d *dataModel) read(offset, length int) {
	buf := make([]byte, length)
	n, err := unix.Pread(d.fd, buf, int64(offset))
	want := d.want[min(offset, len(d.want)):min(offset+length, len(d.want))]
	if err != nil || !bytes.Equal(buf[:n], want) {
		d.t.Errorf("read %d bytes at %d, %v, which differ from %d wanted at %d", n, offset, err, len(want),
			firstDifference(buf[:n], want))
	}
}

// writeMapped reads and writes through a mapping of the whole file.
func (d *dataModel) writeMapped(offset, length int) {
	if len(d.want) == 0 {
		return
	}
	if len(d.mapped) != len(d.want) {
		d.unmap()
		mapped, err := unix.Mmap(d.fd, 0, len(d.want), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		must(d.t, err)
		d.mapped = mapped
	}
	offset = min(offset, len(d.want)-1)
	part := d.mapped[offset:min(offset+length, len(d.want))]
	if want := d.want[offset : offset+len(part)]; !bytes.Equal(part, want) {
		d.t.Errorf("mapped data differ at %d", offset+firstDifference(part, want))
	}
	data := d.noise(len(part))
	copy(part, data)
	copy(d.want[offset:], data)
}

func (d *dataModel) truncate(offset, _ int) {
	d.unmap() // beyond the end there is nothing to be touched
	must(d.t, unix.Ftruncate(d.fd, int64(offset)))
	d.grow(offset)
	d.want = d.want[:offset:offset]
}

func (d *dataModel) fallocate(mode uint32, offset, length int) {
	must(d.t, unix.Fallocate(d.fd, mode, int64(offset), int64(length)))
}

func (d *dataModel) punch(offset, length int) {
	d.fallocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
	clear(d.want[min(offset, len(d.want)):min(offset+length, len(d.want))])
}

func (d *dataModel) zero(offset, length int) {
	d.fallocate(unix.FALLOC_FL_ZERO_RANGE, offset, length)
	d.grow(offset + length)
	clear(d.want[offset : offset+length])
}

func (d *dataModel) allocate(offset, length int) {
	d.fallocate(0, offset, length)
	d.grow(offset + length)
}

// copy copies a part of the file to another place in it.
func (d *dataModel) copy(offset, length int) {
	to, _ := d.part()
	length = min(length, len(d.want)-offset, mostData-to)
	if length <= 0 || offset < to+length && to < offset+length {
		return // nothing, or onto itself
	}
	from, at := int64(offset), int64(to)
	for left := length; left > 0; {
		n, err := unix.CopyFileRange(d.fd, &from, d.fd, &at, left, 0)
		if n <= 0 {
			d.t.Fatalf("copied %d of %d: %v", n, left, err)
		}
		left -= n
	}
	data := bytes.Clone(d.want[offset : offset+length])
	d.grow(to + length)
	copy(d.want[to:], data)
}

func (d *dataModel) reopen(_, _ int) {
	d.close()
	d.open()
}

func (d *dataModel) sync(_, _ int) {
	if d.mapped != nil {
		must(d.t, unix.Msync(d.mapped, unix.MS_SYNC))
	}
	must(d.t, unix.Fsync(d.fd))
}

// whole compares everything, by another way into the file.
func (d *dataModel) whole(_, _ int) {
	got, err := os.ReadFile(d.dir + "/file")
	if err != nil || !bytes.Equal(got, d.want) {
		d.t.Errorf("the file has %d bytes, %v, want %d; they differ at %d", len(got), err, len(d.want),
			firstDifference(got, d.want))
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
