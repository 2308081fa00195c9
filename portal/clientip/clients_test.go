package clientip_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/clientip"
)

func TestWhoSentARequest(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("abcdefghijkm2", 4)
	full := clientip.Clients{
		Resolver: resolver(t, proxies(), 1, clientip.XForwardedFor),
		Country: func(ip netip.Addr) string {
			if ip == netip.MustParseAddr("203.0.113.9") {
				return "NZ"
			}
			return portal.UnknownCountry
		},
		DeviceCookie: "__Host-device",
		RequestID:    func(r *http.Request) string { return r.Header.Get("X-Request-Id") },
	}
	tests := map[string]struct {
		clients clientip.Clients
		change  func(*http.Request)
		want    portal.Client
	}{
		"with all that is known": {clients: full, change: func(*http.Request) {}, want: portal.Client{
			IP: netip.MustParseAddr("203.0.113.9"), UserAgent: "curl/8.5.0", Country: "NZ", Device: secret, RequestID: "request",
		}},
		"with nothing to know it by": {clients: clientip.Clients{Resolver: full.Resolver}, change: func(*http.Request) {}, want: portal.Client{
			IP: netip.MustParseAddr("203.0.113.9"), UserAgent: "curl/8.5.0", Country: portal.UnknownCountry,
		}},
		"with a cookie that is no secret of ours": {clients: full, change: func(r *http.Request) {
			r.Header.Set("Cookie", "__Host-device="+strings.Repeat("A", 52))
		}, want: portal.Client{IP: netip.MustParseAddr("203.0.113.9"), UserAgent: "curl/8.5.0", Country: "NZ", RequestID: "request"}},
		"with two cookies": {clients: full, change: func(r *http.Request) {
			r.Header.Add("Cookie", "__Host-device="+strings.Repeat("b", 52))
		}, want: portal.Client{IP: netip.MustParseAddr("203.0.113.9"), UserAgent: "curl/8.5.0", Country: "NZ", RequestID: "request"}},
		"with too much of everything": {clients: full, change: func(r *http.Request) {
			r.Header = http.Header{
				"User-Agent": {strings.Repeat("a", 1000)}, "X-Request-Id": {strings.Repeat("b", 1000)},
				"Cookie": {"__Host-device=" + strings.Repeat("c", 1000)}, "X-Forwarded-For": {strings.Repeat("1.2.3.4,", 1000)},
			}
		}, want: portal.Client{
			IP: netip.MustParseAddr("10.0.0.1"), UserAgent: strings.Repeat("a", 256), Country: "ZZ", RequestID: strings.Repeat("b", 64),
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "https://portal.example.org/", nil)
			r.RemoteAddr = "10.0.0.1:40000"
			r.Header = http.Header{
				"User-Agent": {"curl/8.5.0"}, "X-Forwarded-For": {"1.2.3.4, 203.0.113.9"},
				"Cookie": {"__Host-device=" + secret}, "X-Request-Id": {"request"},
			}
			test.change(r)
			if diff := cmp.Diff(test.want, test.clients.Of(r), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("client (-want +got):\n%s", diff)
			}
		})
	}
}
