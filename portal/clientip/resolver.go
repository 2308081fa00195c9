package clientip

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Header is which header the proxies write. Only this one is read: a proxy passes the
// other on as the client wrote it.
type Header string

// Headers.
const (
	XForwardedFor Header = "X-Forwarded-For"
	// Forwarded is RFC 7239's.
	Forwarded Header = "Forwarded"
)

// maxHops bounds the work for one request.
const maxHops = 16

// Resolver finds the client's address behind trusted proxies.
type Resolver struct {
	trusted []netip.Prefix
	hops    int
	header  Header
}

// New makes a Resolver that trusts proxies in these networks, and at most hops of them in
// a row: as many as there really are. It matters where clients come from the networks of
// the proxies: with more hops than proxies such a client could name another. For the same
// reason name the proxies and not their neighbourhood: whoever reaches the portal past
// them from a trusted network is believed too. Without
// networks the peer is the client, and hops and header don't matter.
func New(trusted []netip.Prefix, hops int, header Header) (*Resolver, error) {
	if len(trusted) == 0 {
		return &Resolver{}, nil
	}
	if hops < 1 || hops > maxHops {
		return nil, fmt.Errorf("the number of proxies is not between 1 and %d", maxHops)
	}
	if header != XForwardedFor && header != Forwarded {
		return nil, fmt.Errorf("the forwarding header is not %s or %s", XForwardedFor, Forwarded)
	}
	r := &Resolver{hops: hops, header: header}
	for _, p := range trusted {
		if !p.IsValid() || p.Bits() == 0 {
			return nil, errors.New("a network of trusted proxies is none, or is everybody's")
		}
		if p.Addr().Is4In6() {
			return nil, fmt.Errorf("write the network %s of trusted proxies as IPv4", p)
		}
		r.trusted = append(r.trusted, p.Masked())
	}
	return r, nil
}

// IP is the client's address, as IPv4 where it is one, and without a zone. remoteAddr is
// the peer's, from http.Request; the zero Addr says that it is no address.
func (r *Resolver) IP(remoteAddr string, header http.Header) netip.Addr {
	client, ok := parse(remoteAddr)
	if !ok {
		return netip.Addr{}
	}
	entries := walk{values: header.Values(string(r.header)), next: r.split()}
	for range r.hops {
		if !r.trusts(client) {
			break
		}
		entry, more := entries.left()
		if !more {
			break
		}
		before, ok := r.address(entry)
		if !ok {
			break
		}
		client = before
	}
	return client
}

func (r *Resolver) trusts(ip netip.Addr) bool {
	for _, p := range r.trusted {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// split is how the header's last entry is cut off.
func (r *Resolver) split() func(string) (rest, entry string, more bool) {
	if r.header == Forwarded {
		return lastElement
	}
	return lastOfList
}

// address is the one in an entry.
func (r *Resolver) address(entry string) (netip.Addr, bool) {
	if r.header != Forwarded {
		return parse(entry)
	}
	node, ok := forNode(entry)
	if !ok {
		return netip.Addr{}, false
	}
	return parse(node)
}

// walk goes through the entries of a header from right to left. Several lines of one
// header are one list (RFC 9110, 5.3). Only what is asked for is looked at, so a long
// header costs no more than its last few entries.
type walk struct {
	// values are the lines that were not begun; rest is what is left of the one that was.
	values []string
	rest   string
	more   bool // rest has an entry, if only an empty one
	next   func(string) (rest, entry string, more bool)
}

// left is the next entry, and false when there is none.
func (w *walk) left() (string, bool) {
	if !w.more {
		if len(w.values) == 0 {
			return "", false
		}
		w.rest, w.values = w.values[len(w.values)-1], w.values[:len(w.values)-1]
	}
	var entry string
	w.rest, entry, w.more = w.next(w.rest)
	return strings.Trim(entry, " \t"), true
}

// parse reads an address with or without a port, IPv6 with or without brackets.
func parse(text string) (netip.Addr, bool) {
	const longest = 64 // [IPv6%zone]:port
	if len(text) > longest {
		return netip.Addr{}, false
	}
	if at, err := netip.ParseAddrPort(text); err == nil {
		return plain(at.Addr()), true
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if text, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(text, ":") {
			return netip.Addr{}, false
		}
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, false
	}
	return plain(ip), true
}

// plain makes the same address look the same.
func plain(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }
