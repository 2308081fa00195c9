package clientip_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/portal/clientip"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func resolver(t testing.TB, trusted []netip.Prefix, hops int, header clientip.Header) *clientip.Resolver {
	t.Helper()
	r, err := clientip.New(trusted, hops, header)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// proxies are those of the tests: 10.0.0.0/8 and 2001:db8:1::/48.
func proxies() []netip.Prefix { return prefixes("10.0.0.0/8", "2001:db8:1::/48") }

func TestTheClientBehindXForwardedFor(t *testing.T) {
	t.Parallel()
	const peer = "10.0.0.1:40000"
	tests := map[string]struct {
		trusted []netip.Prefix // nil for proxies()
		hops    int            // 0 for 2
		peer    string
		lines   []string
		want    string
	}{
		"nothing is trusted by default":                       {trusted: []netip.Prefix{}, peer: peer, lines: []string{"1.2.3.4"}, want: "10.0.0.1"},
		"the peer is the client without a header":             {peer: peer, want: "10.0.0.1"},
		"a stranger's header is not read":                     {peer: "203.0.113.9:1", lines: []string{"1.2.3.4"}, want: "203.0.113.9"},
		"one proxy":                                           {peer: peer, lines: []string{"203.0.113.9"}, want: "203.0.113.9"},
		"one proxy, and what the client forged":               {peer: peer, lines: []string{"1.2.3.4, 203.0.113.9"}, want: "203.0.113.9"},
		"what the client forged in a line of its own":         {peer: peer, lines: []string{"1.2.3.4", "203.0.113.9"}, want: "203.0.113.9"},
		"two proxies":                                         {peer: peer, lines: []string{"203.0.113.9, 10.0.0.2"}, want: "203.0.113.9"},
		"two proxies in two lines":                            {peer: peer, lines: []string{"203.0.113.9", "10.0.0.2"}, want: "203.0.113.9"},
		"two proxies, and a client that says it is a third":   {peer: peer, lines: []string{"1.2.3.4, 10.0.0.3, 203.0.113.9, 10.0.0.2"}, want: "203.0.113.9"},
		"a client in the proxies' network names nobody":       {hops: 1, peer: peer, lines: []string{"1.2.3.4, 10.0.0.9"}, want: "10.0.0.9"},
		"more proxies than there are":                         {peer: peer, lines: []string{"1.2.3.4, 10.0.0.3, 10.0.0.2"}, want: "10.0.0.3"},
		"all are proxies, up to the end":                      {hops: 16, peer: peer, lines: []string{"10.0.0.3, 10.0.0.2"}, want: "10.0.0.3"},
		"a client without spaces":                             {peer: peer, lines: []string{"1.2.3.4,203.0.113.9"}, want: "203.0.113.9"},
		"a client with a port":                                {peer: peer, lines: []string{"203.0.113.9:5555"}, want: "203.0.113.9"},
		"a client with IPv6":                                  {peer: peer, lines: []string{"2001:db8:2::7"}, want: "2001:db8:2::7"},
		"a client with IPv6 in brackets":                      {peer: peer, lines: []string{"[2001:db8:2::7]"}, want: "2001:db8:2::7"},
		"a client with IPv6 and a port":                       {peer: peer, lines: []string{"[2001:db8:2::7]:5555"}, want: "2001:db8:2::7"},
		"a client with IPv4 in IPv6":                          {peer: peer, lines: []string{"::ffff:203.0.113.9"}, want: "203.0.113.9"},
		"a client with a zone":                                {peer: peer, lines: []string{"fe80::1%eth0"}, want: "fe80::1"},
		"a proxy with IPv6":                                   {peer: "[2001:db8:1::5]:1", lines: []string{"203.0.113.9"}, want: "203.0.113.9"},
		"a proxy with IPv4 in IPv6":                           {peer: "[::ffff:10.0.0.1]:1", lines: []string{"203.0.113.9"}, want: "203.0.113.9"},
		"an entry that is no address ends at who wrote it":    {peer: peer, lines: []string{"1.2.3.4, unknown"}, want: "10.0.0.1"},
		"one behind the second proxy ends at that":            {peer: peer, lines: []string{"1.2.3.4, unknown, 10.0.0.2"}, want: "10.0.0.2"},
		"an empty entry ends at who wrote it":                 {peer: peer, lines: []string{"1.2.3.4, "}, want: "10.0.0.1"},
		"an empty line ends at who wrote it":                  {peer: peer, lines: []string{"1.2.3.4", ""}, want: "10.0.0.1"},
		"a port that is none ends at who wrote it":            {peer: peer, lines: []string{"1.2.3.4, 203.0.113.9:99999"}, want: "10.0.0.1"},
		"IPv4 in brackets ends at who wrote it":               {peer: peer, lines: []string{"1.2.3.4, [203.0.113.9]"}, want: "10.0.0.1"},
		"brackets that are not closed end at who wrote them":  {peer: peer, lines: []string{"1.2.3.4, [2001:db8:2::7"}, want: "10.0.0.1"},
		"an entry with leading zeros ends at who wrote it":    {peer: peer, lines: []string{"1.2.3.4, 203.0.113.009"}, want: "10.0.0.1"},
		"two addresses in an entry end at who wrote them":     {peer: peer, lines: []string{"1.2.3.4 203.0.113.9"}, want: "10.0.0.1"},
		"what an entry hides behind very many spaces":         {peer: peer, lines: []string{"1.2.3.4," + strings.Repeat(" ", 1<<16)}, want: "10.0.0.1"},
		"a line without an end":                               {peer: peer, lines: []string{strings.Repeat("1", 1<<20)}, want: "10.0.0.1"},
		"a list without an end":                               {peer: peer, lines: []string{strings.Repeat("1.2.3.4, ", 1<<16) + "203.0.113.9"}, want: "203.0.113.9"},
		"very many proxies that are not ours":                 {peer: peer, lines: []string{strings.Repeat("10.0.0.7, ", 1<<16) + "10.0.0.9"}, want: "10.0.0.7"},
		"a peer that is no address":                           {peer: "@", lines: []string{"1.2.3.4"}, want: "invalid IP"},
		"no peer":                                             {peer: "", lines: []string{"1.2.3.4"}, want: "invalid IP"},
		"a peer without a port":                               {peer: "203.0.113.9", want: "203.0.113.9"},
		"a peer with a zone":                                  {peer: "[fe80::1%eth0]:1", want: "fe80::1"},
		"a network of one proxy trusts no other":              {trusted: prefixes("10.0.0.1/32"), peer: "10.0.0.2:1", lines: []string{"1.2.3.4"}, want: "10.0.0.2"},
		"a network that was not written at its own beginning": {trusted: prefixes("10.0.0.77/24"), peer: peer, lines: []string{"203.0.113.9"}, want: "203.0.113.9"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.trusted == nil {
				test.trusted = proxies()
			}
			if test.hops == 0 {
				test.hops = 2
			}
			header := http.Header{
				"X-Forwarded-For": test.lines,
				// Headers that other software reads, and ours never.
				"Forwarded": {"for=6.6.6.6"}, "X-Real-Ip": {"6.6.6.6"}, "True-Client-Ip": {"6.6.6.6"}, "Cf-Connecting-Ip": {"6.6.6.6"},
			}
			got := resolver(t, test.trusted, test.hops, clientip.XForwardedFor).IP(test.peer, header)
			if got.String() != test.want {
				t.Errorf("got %v, want %s", got, test.want)
			}
		})
	}
}

func TestTheClientBehindForwarded(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		lines []string
		want  string
	}{
		"one proxy":                               {lines: []string{"for=203.0.113.9"}, want: "203.0.113.9"},
		"with all that a proxy may say":           {lines: []string{`By="[2001:db8:1::5]:443"; FOR=203.0.113.9;proto=https;host="a,b;c"`}, want: "203.0.113.9"},
		"IPv6 and a port":                         {lines: []string{`for="[2001:db8:2::7]:5555"`}, want: "2001:db8:2::7"},
		"IPv4 and a port":                         {lines: []string{`for="203.0.113.9:5555"`}, want: "203.0.113.9"},
		"what the client forged":                  {lines: []string{"for=1.2.3.4, for=203.0.113.9"}, want: "203.0.113.9"},
		"what the client forged in its own line":  {lines: []string{"for=1.2.3.4", "for=203.0.113.9"}, want: "203.0.113.9"},
		"two proxies":                             {lines: []string{"for=203.0.113.9, for=10.0.0.2;proto=https"}, want: "203.0.113.9"},
		"quotes that the client did not close":    {lines: []string{`for=1.2.3.4;host=", for=203.0.113.9`}, want: "203.0.113.9"},
		"quotes that look closed":                 {lines: []string{`for="1.2.3.4, for=203.0.113.9;host="portal.example.org"`}, want: "203.0.113.9"},
		"a backslash at the client's end":         {lines: []string{`for=1.2.3.4;host="\, for=203.0.113.9`}, want: "203.0.113.9"},
		"a host with quotes that the proxy wrote": {lines: []string{`for=203.0.113.9;host="a\", for=6.6.6.6, b=\""`}, want: "203.0.113.9"},
		"another name that ends in for":           {lines: []string{"for=1.2.3.4, xfor=6.6.6.6"}, want: "10.0.0.1"},
		"an unknown client":                       {lines: []string{"for=1.2.3.4, for=unknown"}, want: "10.0.0.1"},
		"a hidden client":                         {lines: []string{"for=1.2.3.4, for=_hidden"}, want: "10.0.0.1"},
		"no client":                               {lines: []string{"for=1.2.3.4, proto=https"}, want: "10.0.0.1"},
		"an empty client":                         {lines: []string{"for=1.2.3.4, for="}, want: "10.0.0.1"},
		"two clients":                             {lines: []string{"for=1.2.3.4;for=203.0.113.9"}, want: "10.0.0.1"},
		"IPv6 without quotes":                     {lines: []string{"for=[2001:db8:2::7]"}, want: "10.0.0.1"},
		"IPv4 and a port without quotes":          {lines: []string{"for=203.0.113.9:5555"}, want: "10.0.0.1"},
		"a quote that is not closed":              {lines: []string{`for=1.2.3.4, for="203.0.113.9`}, want: "10.0.0.1"},
		"only a quote":                            {lines: []string{`for="`}, want: "10.0.0.1"},
		"an escape":                               {lines: []string{`for="203.0.113.\9"`}, want: "10.0.0.1"},
		"an element without an end":               {lines: []string{"for=1.2.3.4," + strings.Repeat(" ", 1<<16) + "for=203.0.113.9;" + strings.Repeat("a=b;", 1<<14)}, want: "10.0.0.1"},
		"a list without an end":                   {lines: []string{strings.Repeat("for=1.2.3.4, ", 1<<15) + "for=203.0.113.9"}, want: "203.0.113.9"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{"Forwarded": test.lines, "X-Forwarded-For": {"6.6.6.6"}}
			got := resolver(t, proxies(), 2, clientip.Forwarded).IP("10.0.0.1:40000", header)
			if got.String() != test.want {
				t.Errorf("got %v, want %s", got, test.want)
			}
		})
	}
}

func TestResolversThatAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		trusted []netip.Prefix
		hops    int
		header  clientip.Header
	}{
		"everybody with IPv4":           {trusted: prefixes("0.0.0.0/0"), hops: 1, header: clientip.XForwardedFor},
		"everybody with IPv6":           {trusted: prefixes("::/0"), hops: 1, header: clientip.XForwardedFor},
		"no network":                    {trusted: []netip.Prefix{{}}, hops: 1, header: clientip.XForwardedFor},
		"IPv4 written as IPv6":          {trusted: prefixes("::ffff:10.0.0.0/104"), hops: 1, header: clientip.XForwardedFor},
		"no hops":                       {trusted: proxies(), header: clientip.XForwardedFor},
		"very many hops":                {trusted: proxies(), hops: 17, header: clientip.XForwardedFor},
		"no header":                     {trusted: proxies(), hops: 1},
		"a header that clients write":   {trusted: proxies(), hops: 1, header: "X-Client-IP"},
		"the right one in another case": {trusted: proxies(), hops: 1, header: "forwarded"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := clientip.New(test.trusted, test.hops, test.header); err == nil {
				t.Error("was taken")
			}
		})
	}
}

// fuzzed feeds forged headers to a Resolver behind one proxy that appends, as proxies do,
// what it sees: whatever a client forges, it is found where it really is.
func fuzzed(f *testing.F, header clientip.Header, entry string) {
	f.Helper()
	r := resolver(f, proxies(), 1, header)
	client := netip.MustParseAddr("203.0.113.9")
	f.Fuzz(func(t *testing.T, forged, second string) {
		tests := map[string][]string{
			"in the same line":       {forged + ", " + entry},
			"in a line of its own":   {forged, entry},
			"in two lines":           {forged, second + "," + entry},
			"without a proxy behind": {entry},
		}
		for name, lines := range tests {
			if got := r.IP("10.0.0.1:1", http.Header{string(header): lines}); got != client {
				t.Errorf("%s: got %v, want %v", name, got, client)
			}
		}
		// What the proxy passes on unseen may be wrong, and must not hurt: a real address
		// without a zone, and of IPv4 as such.
		got := r.IP("10.0.0.1:1", http.Header{string(header): {forged, second}})
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Errorf("got %v", got)
		}
		if got := r.IP(forged, http.Header{string(header): {second}}); got.Zone() != "" || got.Is4In6() {
			t.Errorf("peer %q: got %v", forged, got)
		}
	})
}

func FuzzXForwardedFor(f *testing.F) {
	for _, seed := range []string{"1.2.3.4", "", ",", "[::1]:1", "10.0.0.1", "unknown", "fe80::1%a,b"} {
		f.Add(seed, "10.0.0.2")
	}
	fuzzed(f, clientip.XForwardedFor, "203.0.113.9")
}

func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{"for=1.2.3.4", `for="`, `for="\"`, `for="[::1]:1"`, `host="a,b"`, `\`, ";,="} {
		f.Add(seed, "for=10.0.0.2")
	}
	fuzzed(f, clientip.Forwarded, `for=203.0.113.9;proto=https;host="portal.example.org"`)
}

func ExampleResolver_IP() {
	r, err := clientip.New([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, 1, clientip.XForwardedFor)
	if err != nil {
		panic(err)
	}
	// The client wrote 1.2.3.4; the proxy 10.0.0.1 wrote the rest.
	fmt.Println(r.IP("10.0.0.1:40000", http.Header{"X-Forwarded-For": {"1.2.3.4, 203.0.113.9"}}))
	// Output: 203.0.113.9
}
