package validation_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/v1alpha1/validation"
)

func TestParseRegistries(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		list string
		want []string
		bad  string
	}{
		"nothing":                  {list: ""},
		"only commas":              {list: " , ,"},
		"a host":                   {list: "lethe.dev", want: []string{"lethe.dev/"}},
		"a host and a slash":       {list: "lethe.dev/", want: []string{"lethe.dev/"}},
		"a host, a port, a path":   {list: "localhost:5000/a/b-c", want: []string{"localhost:5000/a/b-c/"}},
		"several, some twice":      {list: "ghcr.io/b, ghcr.io/a,ghcr.io/b/", want: []string{"ghcr.io/a/", "ghcr.io/b/"}},
		"a name at Docker's own":   {list: "library", bad: "library"},
		"a path at Docker's own":   {list: "team/images", bad: "team/images"},
		"capitals":                 {list: "GHCR.io", bad: "GHCR.io"},
		"everything":               {list: "*", bad: "*"},
		"a scheme":                 {list: "https://ghcr.io", bad: "https"},
		"a way up":                 {list: "ghcr.io/../x", bad: ".."},
		"a tag":                    {list: "ghcr.io/a:v1", bad: "v1"},
		"two slashes":              {list: "ghcr.io//a", bad: "//"},
		"a line in a line":         {list: "ghcr.io/a\nevil.io", bad: "evil"},
		"a host that ends in dots": {list: "ghcr.io../a", bad: "ghcr"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := validation.ParseRegistries(c.list)
			if c.bad != "" {
				if err == nil || !strings.Contains(err.Error(), c.bad) {
					t.Fatalf("%v, %v; want an error about %q", got, err, c.bad)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("registries (-want +got):\n%s", diff)
			}
		})
	}
}
