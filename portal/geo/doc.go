// Package geo finds the country of an address in a local file, so that no address is
// given to anybody to find it (promises P8 and P14).
//
// The file is one in MaxMind's format for countries, such as GeoLite2-Country.mmdb;
// something else updates it (geoipupdate, for one). A file that knows cities is refused:
// what is not needed is not read. It is read into memory whole, since one that is mapped
// and then shortened by whoever writes it would kill the process.
//
// A file that is not there, or can't be read any more, never stops the portal: the last
// good one stays, and without any each country is portal.UnknownCountry. There is no
// other source to fall back to.
package geo
