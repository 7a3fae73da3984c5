package strictjson

import (
	"strings"
	"testing"
)

func TestCheckText(t *testing.T) {
	type nested struct{ List []map[string]string }
	for _, good := range []any{"plain", "é \ufffd", `\ufffd`, `\\ufffd "\`, nested{[]map[string]string{{"a": "b"}}},
		nil, 1} {
		if err := CheckText(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []any{"\xe9", `\` + "\xe9", `"` + "\xe9", nested{[]map[string]string{{"key \xe9": "b"}}},
		nested{[]map[string]string{{"a": `\ufffd` + "cut \xf0\x9d"}}}} {
		if err := CheckText(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if err := CheckText(nested{[]map[string]string{{"a": `one "two" lat` + "\xe9 rest"}}}); err == nil ||
		!strings.Contains(err.Error(), `"one \"two\" lat\ufffd rest"`) {
		t.Errorf("the string is not named: %v", err)
	}
}
