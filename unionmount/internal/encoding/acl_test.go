package encoding

import (
	"slices"
	"testing"
)

func FuzzParseACL(f *testing.F) {
	f.Add(ACL{{aclUserObj, 6, 0}, {aclUser, 6, 7}, {aclGroupObj, 5, 0}, {aclGroup, 6, 8}, {aclMask, 4, 0},
		{aclOther, 0, 0}}.Encode())
	f.Fuzz(func(t *testing.T, value []byte) {
		a, err := ParseACL(value)
		if err != nil {
			return
		}
		again, err := ParseACL(a.Encode())
		if err != nil || !slices.Equal(a, again) || len(a) > 0 && a.With(0o751).Mode() != 0o751 {
			t.Fatalf("%x is %v, then %v, %v", value, a, again, err)
		}
	})
}
