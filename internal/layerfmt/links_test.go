package layerfmt

import "testing"

func TestLinkName(t *testing.T) {
	if layer, ino, ok := ParseLinkName(LinkName(3, 1<<63)); !ok || layer != 3 || ino != 1<<63 {
		t.Errorf("got %d, %d, %v", layer, ino, ok)
	}
	for _, name := range []string{"", "1", "1-", "-1", "0-5", "1-2.hidden", "01-2", "1-+2", "1-2-3", "a-b",
		"1-99999999999999999999"} {
		if layer, ino, ok := ParseLinkName(name); ok {
			t.Errorf("%q is %d, %d", name, layer, ino)
		}
	}
}
