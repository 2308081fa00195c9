package clientip

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/lethe-dev/lethe/portal"
)

// maxRequestID is more than any of ours has.
const maxRequestID = 64

// Clients tells who sent a request.
type Clients struct {
	Resolver *Resolver
	// Country is the country of an address; nil for not known.
	Country func(netip.Addr) string
	// DeviceCookie is the name of the cookie with the device's secret; "" for none.
	DeviceCookie string
	// RequestID is a request's; nil for none.
	RequestID func(*http.Request) string
}

// Of tells who sent a request. All of it fits where it is kept, whatever was sent.
func (c Clients) Of(r *http.Request) portal.Client {
	client := portal.Client{
		IP:        c.Resolver.IP(r.RemoteAddr, r.Header),
		UserAgent: Agent(r.UserAgent()),
		Country:   portal.UnknownCountry,
		Device:    c.device(r),
	}
	if c.Country != nil {
		client.Country = c.Country(client.IP)
	}
	if c.RequestID != nil {
		client.RequestID = Agent(c.RequestID(r))
		client.RequestID = client.RequestID[:min(len(client.RequestID), maxRequestID)]
	}
	return client
}

// device is the secret in the device cookie, and "" when it can be none of ours or when
// there are two.
func (c Clients) device(r *http.Request) string {
	if c.DeviceCookie == "" {
		return ""
	}
	const secret = 52 // characters, as portal.NewSecret makes them
	found := r.CookiesNamed(c.DeviceCookie)
	if len(found) != 1 || len(found[0].Value) != secret || strings.Trim(found[0].Value, "abcdefghijkmnpqrstuvwxyz23456789") != "" {
		return ""
	}
	return found[0].Value
}
