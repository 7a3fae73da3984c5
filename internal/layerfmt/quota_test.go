package layerfmt

import (
	"strings"
	"testing"
)

func TestParseQuota(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		want    Quota
		err     string
	}{
		{nil, Quota{}, ""},
		{map[string]string{"size": "64m"}, Quota{Bytes: 64 << 20}, ""},
		{map[string]string{"size": "2GB", "inodes": "100"}, Quota{2 << 30, 100}, ""},
		{map[string]string{"size": "4096"}, Quota{Bytes: 4096}, ""},
		{map[string]string{"size": "1.5k"}, Quota{Bytes: 1536}, ""},
		{map[string]string{"size": "0"}, Quota{}, "size=0: want a size"},
		{map[string]string{"size": "-1m"}, Quota{}, "size=-1m: want a size"},
		{map[string]string{"size": "9999999999999999999p"}, Quota{}, "want a size"},
		{map[string]string{"size": "", "inodes": "1"}, Quota{}, "size=: want a size"},
		{map[string]string{"inodes": "1k"}, Quota{}, "inodes=1k: want a number"},
		{map[string]string{"inodes": "0"}, Quota{}, "inodes=0: want a number"},
		{map[string]string{"color": "red"}, Quota{}, "color=red: unknown option: want size or inodes"},
	} {
		got, err := ParseQuota(c.options)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%v: %+v, %v; want %+v, %q", c.options, got, err, c.want, c.err)
		}
		if again, err := ParseQuota(got.Options()); err != nil || again != got {
			t.Errorf("%+v comes back as %+v, %v", got, again, err)
		}
	}
}
