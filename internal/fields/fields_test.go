package fields_test

import (
	"net/netip"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fields"
	"github.com/rcrun/rcrun/internal/fields/fieldtest"
)

type part struct {
	Good string
	Bad  int
}

type request struct {
	part
	Address netip.Addr
	Named   string `json:"name,omitempty"`
	Parts   map[string]*part
	Unused  []part
}

var table = fields.Table{
	"Good":       fields.Honour(),
	"Bad":        fields.Refuse("it is bad"),
	"Address":    fields.Honour(),
	"name":       fields.Refuse("there is one name", "", "mine"),
	"Parts":      fields.Honour(),
	"Parts.Good": fields.Honour(),
	"Parts.Bad":  fields.Refuse("it is bad"),
	"Unused":     fields.Ignore("it changes nothing"),
}

func TestTable(t *testing.T) {
	fieldtest.Run(t, table, func() any { return &request{} })
}

func TestCheck(t *testing.T) {
	for want, r := range map[string]request{
		"": {part: part{Good: "x"}, Address: netip.MustParseAddr("::1"), Named: "mine", Unused: []part{{Bad: 1}},
			Parts: map[string]*part{"a": {Good: "x"}, "b": nil}},
		"Bad is not supported: it is bad":                  {part: part{Bad: 1}},
		"Parts.Bad is not supported: it is bad":            {Parts: map[string]*part{"a": {}, "b": {Bad: 1}}},
		`name "yours" is not supported: there is one name`: {Named: "yours"},
	} {
		err := table.Check(&r, "")
		if err == nil && want == "" {
			continue
		}
		if !errdefs.IsNotImplemented(err) {
			t.Errorf("%v has no class", err)
		}
		if want == "" || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestUnknownField refuses a field of a later version.
func TestUnknownField(t *testing.T) {
	type later struct{ Tomorrow []string }
	if err := table.Check(later{[]string{"x"}}, ""); !errdefs.IsNotImplemented(err) {
		t.Error(err)
	}
	if err := table.Check(later{[]string{}}, ""); err != nil {
		t.Error(err)
	}
}
