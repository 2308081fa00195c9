package main

import (
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// config is everything that can be set from outside.
type config struct {
	// file is where the other settings may be.
	file string
	// listen is for people; opsListen for health and metrics, "" for none.
	listen, opsListen string
	// origin is how people reach us: https://host[:port], nothing after it.
	origin string
	// tlsCert and tlsKey are PEM files, read again when they change.
	tlsCert, tlsKey string
	// behindProxy serves without TLS to the trusted proxies before us.
	behindProxy    bool
	trustedProxies []netip.Prefix
	// proxyHops is how many of them a request passes, proxyHeader where they say for whom.
	proxyHops   int
	proxyHeader string
	// database is a file (SQLite) or a postgres:// URL.
	database string
	keyFile  string
	mail     mailConfig
	// geoFile is a MaxMind country database; "" for none.
	geoFile string
	// cluster is where runs and datasets go.
	cluster clusterConfig
	// hashSlots is how many passwords are hashed at a time; each takes hashMemory MiB.
	hashSlots, hashMemory int
	// drainDelay is how long the service still takes requests when it was told to stop, for
	// balancers to notice; drainLimit how long requests under way then have.
	drainDelay, drainLimit time.Duration
	logLevel               slog.Level
}

// mailConfig is how mail leaves us.
type mailConfig struct {
	server string // host:port
	// implicitTLS begins with TLS; otherwise STARTTLS is demanded.
	implicitTLS  bool
	caFile       string
	user         string
	passwordFile string
	from         string
}

func defaults() config {
	return config{
		listen: ":8443", opsListen: "127.0.0.1:9090", database: "portal.db", keyFile: "portal.keys",
		proxyHops: 1, proxyHeader: "X-Forwarded-For",
		hashSlots: 4, hashMemory: 64, drainLimit: 20 * time.Second,
		cluster: clusterConfig{tenantGPUs: 8, datasetGiB: 1024},
	}
}

// settings are all of a config's, in the order of the help.
func (c *config) settings() []setting {
	return slices.Concat([]setting{
		{name: "config", help: "YAML file with settings, by these names", set: text(&c.file)},
		{name: "listen", help: "address to serve people at (" + c.listen + ")", set: text(&c.listen)},
		{name: "ops-listen", help: "address of /healthz, /readyz and /metrics, without TLS, for this machine or its own network; empty for none (" + c.opsListen + ")", set: text(&c.opsListen)},
		{name: "origin", help: "how people reach the portal, as https://portal.example.org", set: text(&c.origin)},
		{name: "tls-cert", help: "PEM file with the certificate and its chain, read again when it changes", set: text(&c.tlsCert)},
		{name: "tls-key", help: "PEM file with the certificate's key", set: text(&c.tlsKey)},
		{name: "behind-proxy", boolean: true, help: "serve without TLS, to proxies that do TLS and are named by trusted-proxies", set: boolean(&c.behindProxy)},
		{name: "trusted-proxies", help: "networks of the proxies before the portal, as 10.0.0.0/8,2001:db8::/32: only they may say who a client is", set: prefixes(&c.trustedProxies)},
		{name: "proxy-hops", help: "how many of these proxies a request passes at most (" + strconv.Itoa(c.proxyHops) + ")", set: number(&c.proxyHops, 1, 16)},
		{name: "proxy-header", help: "header in which they say who asks: X-Forwarded-For or Forwarded (" + c.proxyHeader + ")", set: proxyHeader(&c.proxyHeader)},
		{name: "database", secret: true, help: "SQLite file, or postgres:// URL; DATABASE_URL is taken if nothing else says (portal.db)", set: text(&c.database)},
		{name: "key-file", help: "file with the keys that seal secrets in the database (" + c.keyFile + ")", set: text(&c.keyFile)},
		{name: "mail-server", help: "host:port of the mail server", set: text(&c.mail.server)},
		{name: "mail-tls", help: "starttls, or implicit for TLS from the first byte (starttls)", set: mailTLS(&c.mail.implicitTLS)},
		{name: "mail-ca", help: "PEM file of the authority that signed the mail server's certificate; the system's if empty", set: text(&c.mail.caFile)},
		{name: "mail-user", help: "user at the mail server; empty for none", set: text(&c.mail.user)},
		{name: "mail-password-file", help: "file with that user's password", set: text(&c.mail.passwordFile)},
		{name: "mail-from", help: "address that mails come from", set: text(&c.mail.from)},
		{name: "geo-file", help: "country database in MaxMind's format, read again when it changes; empty: all countries are unknown", set: text(&c.geoFile)},
		{name: "hash-slots", help: "passwords hashed at a time (" + strconv.Itoa(c.hashSlots) + ")", set: number(&c.hashSlots, 1, 1024)},
		{name: "hash-memory", help: "MiB for each of them (" + strconv.Itoa(c.hashMemory) + ")", set: number(&c.hashMemory, 19, 4096)},
		{name: "drain-delay", help: "how long to go on taking requests after SIGTERM, for balancers to notice (" + c.drainDelay.String() + ")", set: duration(&c.drainDelay)},
		{name: "drain-limit", help: "how long requests under way then have (" + c.drainLimit.String() + ")", set: duration(&c.drainLimit)},
		{name: "log-level", help: "debug, info, warn or error (info)", set: level(&c.logLevel)},
	}, c.cluster.settings())
}
