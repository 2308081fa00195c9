package portal

import "net/netip"

// Client is who is at the other end of a request, as far as a request tells.
type Client struct {
	// IP is the client's address behind the configured proxies. It goes into security
	// events and throttles, and nowhere else: no session, log, mail or page of the
	// person's holds it.
	IP netip.Addr
	// UserAgent is the header, cut to MaxUserAgent bytes of printable ASCII.
	UserAgent string
	// Country is the ISO 3166-1 alpha-2 code found for IP in a local file, or UnknownCountry.
	Country string
	// Device is the secret of the device cookie; "" when there was none.
	Device string
	// RequestID is the request's, for logs and events.
	RequestID string
}

// MaxUserAgent is how much of a User-Agent header is kept, in bytes.
const MaxUserAgent = 256

// UnknownCountry is the user-assigned ISO 3166-1 code that stands for "not known".
const UnknownCountry = "ZZ"

// Network is what is throttled together: an IPv4 /24 or an IPv6 /56, which is what one
// customer of a provider commonly has.
func (c Client) Network() netip.Prefix { return NetworkOf(c.IP) }

// NetworkOf gives the network of an address; the zero Prefix for the zero Addr.
func NetworkOf(ip netip.Addr) netip.Prefix {
	bits := 56
	if ip = ip.Unmap(); ip.Is4() {
		bits = 24
	}
	p, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
