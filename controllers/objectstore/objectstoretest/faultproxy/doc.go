// Package faultproxy stands between a client and a real MinIO, over TLS on both
// sides, and does on purpose what networks and busy stores do by chance.
//
// Rules say which request of which kind meets which fault; all others pass as they
// are. Signatures stay good, since the request that passes is the one that came,
// with the proxy's name in it. A fault either comes instead of the store, which then
// never hears of the request, or after it, when the request has taken effect and only
// the answer suffers: callers have to cope with both and can not tell them apart.
package faultproxy
