package geo_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lethe-dev/lethe/portal/geo"
)

var built = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// record is what a file says of a network.
func record(field, code string) mmdbtype.Map {
	return mmdbtype.Map{mmdbtype.String(field): mmdbtype.Map{"iso_code": mmdbtype.String(code)}}
}

// file is the content of a file of countries.
func file(t *testing.T, kind string, records map[string]mmdbtype.DataType) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: kind, BuildEpoch: built.Unix(), RecordSize: 24, IncludeReservedNetworks: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for network, data := range records {
		_, parsed, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(parsed, data); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// in is a file that knows one network's country.
func in(t *testing.T, code string) []byte {
	t.Helper()
	return file(t, "GeoLite2-Country", map[string]mmdbtype.DataType{"203.0.113.0/24": record("country", code)})
}

// shelf is where the file lies. Each content is newer than the one before.
type shelf struct {
	path  string
	times int
	log   *bytes.Buffer
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	return &shelf{path: filepath.Join(t.TempDir(), "GeoLite2-Country.mmdb"), log: new(bytes.Buffer)}
}

func (s *shelf) put(t *testing.T, content []byte) {
	t.Helper()
	if err := os.WriteFile(s.path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s.times++
	at := built.Add(time.Duration(s.times) * time.Second)
	if err := os.Chtimes(s.path, at, at); err != nil {
		t.Fatal(err)
	}
}

func (s *shelf) open(t *testing.T) *geo.Countries {
	t.Helper()
	countries, err := geo.Open(s.path, geo.Options{Log: slog.New(slog.NewTextHandler(s.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return countries
}

var home = netip.MustParseAddr("203.0.113.9")

func check(t *testing.T, countries *geo.Countries, want string) {
	t.Helper()
	if got := countries.Country(home); got != want {
		t.Errorf("the country of %v is %s, want %s", home, got, want)
	}
}

func TestTheCountryOfAnAddress(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.put(t, file(t, "GeoLite2-Country", map[string]mmdbtype.DataType{
		"203.0.113.0/24":   record("country", "NZ"),
		"198.51.100.0/24":  record("registered_country", "FR"),
		"192.0.2.0/24":     mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")}, "registered_country": mmdbtype.Map{"iso_code": mmdbtype.String("US")}},
		"2001:db8::/32":    record("country", "JP"),
		"10.0.0.0/8":       record("country", "AA"),
		"127.0.0.0/8":      record("country", "AA"),
		"100.70.0.0/24":    record("country", "Nowhere"),
		"100.70.1.0/24":    record("country", "<>"),
		"100.70.2.0/24":    record("continent", "EU"),
		"100.70.3.0/24":    mmdbtype.Map{"country": mmdbtype.String("DE")},
		"100.70.4.0/24":    mmdbtype.String("DE"),
		"fd00:1234::/32":   record("country", "AA"),
		"fe80::/16":        record("country", "AA"),
		"100.70.200.99/32": record("country", "AT"),
	}))
	countries := s.open(t)
	tests := map[string]struct{ ip, want string }{
		"IPv4":                           {ip: "203.0.113.9", want: "NZ"},
		"IPv4 in IPv6":                   {ip: "::ffff:203.0.113.9", want: "NZ"},
		"IPv6":                           {ip: "2001:db8::1", want: "JP"},
		"IPv6 with a zone":               {ip: "2001:db8::1%eth0", want: "JP"},
		"one address":                    {ip: "100.70.200.99", want: "AT"},
		"where it is over where it's of": {ip: "192.0.2.1", want: "DE"},
		"at least where it's of":         {ip: "198.51.100.1", want: "FR"},
		"not in the file":                {ip: "8.8.8.8", want: "ZZ"},
		"private":                        {ip: "10.1.2.3", want: "ZZ"},
		"private IPv6":                   {ip: "fd00:1234::1", want: "ZZ"},
		"link-local":                     {ip: "fe80::1", want: "ZZ"},
		"our own":                        {ip: "127.0.0.1", want: "ZZ"},
		"a code that is none":            {ip: "100.70.0.1", want: "ZZ"},
		"a code of other characters":     {ip: "100.70.1.1", want: "ZZ"},
		"no country in the record":       {ip: "100.70.2.1", want: "ZZ"},
		"a country of another form":      {ip: "100.70.3.1", want: "ZZ"},
		"a record of another form":       {ip: "100.70.4.1", want: "ZZ"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := countries.Country(netip.MustParseAddr(test.ip)); got != test.want {
				t.Errorf("%s is in %s, want %s", test.ip, got, test.want)
			}
		})
	}
	if got := countries.Country(netip.Addr{}); got != "ZZ" {
		t.Errorf("no address is in %s, want ZZ", got)
	}
}

func TestAFileThatKnowsOnlyIPv4(t *testing.T) {
	t.Parallel()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "X-Country", IPVersion: 4, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	_, network, _ := net.ParseCIDR("203.0.113.0/24")
	if err := tree.Insert(network, record("country", "NZ")); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	s := newShelf(t)
	s.put(t, b.Bytes())
	countries := s.open(t)
	check(t, countries, "NZ")
	if got := countries.Country(netip.MustParseAddr("2001:db8::1")); got != "ZZ" {
		t.Errorf("got %s, want ZZ", got)
	}
}

func TestWithoutAFile(t *testing.T) {
	t.Parallel()
	countries, err := geo.Open("", geo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	countries.Refresh()
	check(t, countries, "ZZ")
	if age, ok := countries.Age(built); ok {
		t.Errorf("there is an age: %v", age)
	}
}

func TestAFileThatComesLater(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	countries := s.open(t)
	check(t, countries, "ZZ")
	if log := s.log.String(); !strings.Contains(log, "is not there") {
		t.Errorf("the log says:\n%s", log)
	}
	countries.Refresh()
	s.put(t, in(t, "NZ"))
	countries.Refresh()
	check(t, countries, "NZ")
	if age, ok := countries.Age(built.Add(time.Hour)); !ok || age != time.Hour {
		t.Errorf("its age is %v (%v), want an hour", age, ok)
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	good := in(t, "NZ")
	tests := map[string]struct {
		content []byte
		want    string
	}{
		"one of cities":        {content: file(t, "GeoLite2-City", nil), want: `another type ("GeoLite2-City")`},
		"one of networks":      {content: file(t, "GeoLite2-ASN", nil), want: "another type"},
		"an empty one":         {content: nil, want: "broken"},
		"half of one":          {content: good[:len(good)/2], want: "broken"},
		"one without its end":  {content: good[:len(good)-1], want: "broken"},
		"one with a torn tree": {content: torn(good), want: "broken"},
		"something else":       {content: []byte("<html>Please sign in</html>"), want: "broken"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf(t)
			s.put(t, test.content)
			if _, err := geo.Open(s.path, geo.Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("to begin with: %v, want %q", err, test.want)
			}
			// The same file in the place of a good one.
			s.put(t, good)
			countries := s.open(t)
			s.put(t, test.content)
			for range 3 {
				countries.Refresh()
			}
			check(t, countries, "NZ")
			if told := strings.Count(s.log.String(), "can't be used"); told != 1 {
				t.Errorf("it was told %d times, want once:\n%s", told, s.log)
			}
			s.put(t, in(t, "DE"))
			countries.Refresh()
			check(t, countries, "DE")
		})
	}
}

// torn is a file with a node of its tree overwritten.
func torn(good []byte) []byte {
	bad := bytes.Clone(good)
	for i := range 300 {
		bad[i] = 0xf0
	}
	return bad
}

func TestAFileThatIsTakenAwayStays(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.put(t, in(t, "NZ"))
	countries := s.open(t)
	if err := os.Remove(s.path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		countries.Refresh()
	}
	check(t, countries, "NZ")
	if told := strings.Count(s.log.String(), "the last good one stays"); told != 1 {
		t.Errorf("it was told %d times, want once:\n%s", told, s.log)
	}
}

// TestALinkThatIsExchanged is how Kubernetes and geoipupdate put a new file in place.
func TestALinkThatIsExchanged(t *testing.T) {
	t.Parallel()
	old, fresh := newShelf(t), newShelf(t)
	old.put(t, in(t, "NZ"))
	fresh.times = 5
	fresh.put(t, in(t, "DE"))
	s := newShelf(t)
	if err := os.Symlink(old.path, s.path); err != nil {
		t.Fatal(err)
	}
	countries := s.open(t)
	check(t, countries, "NZ")
	next := s.path + ".next"
	if err := os.Symlink(fresh.path, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, s.path); err != nil {
		t.Fatal(err)
	}
	countries.Refresh()
	check(t, countries, "DE")
}

func TestRunLooksAtTheFileEachMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t)
		s.put(t, in(t, "NZ"))
		countries := s.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- countries.Run(ctx) }()
		s.put(t, in(t, "DE"))
		<-time.After(59 * time.Second)
		synctest.Wait()
		check(t, countries, "NZ")
		<-time.After(2 * time.Second)
		synctest.Wait()
		check(t, countries, "DE")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestManyAskWhileTheFileChanges is for the race detector.
func TestManyAskWhileTheFileChanges(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.put(t, in(t, "NZ"))
	countries := s.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for ctx.Err() == nil {
				if got := countries.Country(home); got != "NZ" && got != "DE" {
					t.Errorf("got %s", got)
					return
				}
				countries.Age(built)
			}
		})
	}
	for i := range 20 {
		s.put(t, in(t, []string{"NZ", "DE"}[i%2]))
		countries.Refresh()
	}
	cancel()
	asking.Wait()
}

func TestTheMetricTellsTheAge(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	registry := prometheus.NewRegistry()
	countries, err := geo.Open(s.path, geo.Options{Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	value := func() float64 {
		families, err := registry.Gather()
		if err != nil || len(families) != 1 || families[0].GetName() != "lethe_portal_countries_built_timestamp_seconds" {
			t.Fatalf("metrics: %v (%v)", families, err)
		}
		return families[0].GetMetric()[0].GetGauge().GetValue()
	}
	if got := value(); got != 0 {
		t.Errorf("without a file it is %v, want 0", got)
	}
	s.put(t, in(t, "NZ"))
	countries.Refresh()
	if got, want := value(), float64(built.Unix()); got != want {
		t.Errorf("it is %v, want %v", got, want)
	}
	if _, err := geo.Open(s.path, geo.Options{Metrics: registry}); err == nil {
		t.Error("the same metric was registered twice")
	}
}
