// Package clientip tells who is at the other end of a request: address, browser, country.
//
// Whoever sends a request also writes its headers, so a forwarding header counts only as
// far as our own proxies wrote it. The walk begins at the peer and goes leftwards through
// the header, while the one who wrote the next entry is a trusted proxy, and no further
// than there are proxies. What lies beyond, forged or not, is never read. An entry that
// is no address ends the walk at the proxy that wrote it: wrong towards our own side, and
// never towards an address that a stranger chose. (The left-most entry, which much
// software takes, is the one that anybody can write.)
//
// Nothing is trusted by default.
package clientip
