package sweeper

import (
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/api/objectkey"
)

const (
	uid1 = "6f9619ff-8b86-4011-b42d-00c04fc964ff"
	uid2 = "0e37df36-f698-4a1e-a2b5-5f3c9e2f6c11"
	uid3 = "11111111-2222-4333-8444-555555555555"
	uid4 = "44444444-2222-4333-8444-555555555555"
	uid5 = "55555555-2222-4333-8444-555555555555"
	uid6 = "66666666-2222-4333-8444-555555555555"
	uid7 = "77777777-2222-4333-8444-555555555555"
)

func TestParseOwner(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key  string
		want bool
	}{
		"an owner":                        {"ns/" + uid1 + "/", true},
		"a namespace of digits":           {"0/" + uid1 + "/", true},
		"the longest namespace":           {strings.Repeat("a", 63) + "/" + uid1 + "/", true},
		"nothing":                         {"", false},
		"a slash":                         {"/", false},
		"the identity":                    {objectkey.IdentityKey, false},
		"a namespace":                     {"ns/", false},
		"a UID alone":                     {uid1 + "/", false},
		"no slash at the end":             {"ns/" + uid1, false},
		"two slashes at the end":          {"ns/" + uid1 + "//", false},
		"an empty namespace":              {"/" + uid1 + "/", false},
		"no UID":                          {"ns//", false},
		"a name for a UID":                {"ns/holidays/", false},
		"a UID in upper case":             {"ns/" + strings.ToUpper(uid1) + "/", false},
		"a UID in braces":                 {"ns/{" + uid1 + "}/", false},
		"a UID that is too short":         {"ns/" + uid1[:35] + "/", false},
		"a UID with a line end":           {"ns/" + uid1 + "\n/", false},
		"something below an owner":        {"ns/" + uid1 + "/data/", false},
		"something above":                 {"../" + uid1 + "/", false},
		"a namespace in upper case":       {"Ns/" + uid1 + "/", false},
		"a namespace with a line end":     {"ns\n/" + uid1 + "/", false},
		"a namespace that is too long":    {strings.Repeat("a", 64) + "/" + uid1 + "/", false},
		"a namespace that ends in a dash": {"ns-/" + uid1 + "/", false},
		"bytes that are no text":          {"n\xff/" + uid1 + "/", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := parseOwner(c.key)
			if ok != c.want {
				t.Errorf("parseOwner(%q) says %v", c.key, ok)
			}
			if ok && got.prefix() != c.key {
				t.Errorf("parseOwner(%q) gives the owner of %q", c.key, got.prefix())
			}
		})
	}
}

// FuzzParseOwner: whatever a key is, it is either left alone or the very prefix that
// would be erased.
func FuzzParseOwner(f *testing.F) {
	for _, key := range []string{
		"", "/", "ns/", "ns/" + uid1, "ns/" + uid1 + "/", "ns/" + uid1 + "/data/a", objectkey.IdentityKey,
		"../" + uid1 + "/", "ns/" + strings.ToUpper(uid1) + "/", "ns/" + strings.ReplaceAll(uid1, "-", "") + "----/",
		"n\x00s/" + uid1 + "/", "ns/" + uid1 + "/\n",
	} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		one, ok := parseOwner(key)
		if !ok {
			return
		}
		if one.prefix() != key {
			t.Errorf("%q is taken for %q", key, one.prefix())
		}
		if strings.Count(key, "/") != 2 || strings.Contains(key, "..") {
			t.Errorf("%q is taken for an owner", key)
		}
		again, ok := newOwner(one.namespace, string(one.uid()))
		if !ok || again != one {
			t.Errorf("%q is not the same twice", key)
		}
	})
}
