package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/lethe-dev/lethe/portal"
)

// isPostgres reports whether a database setting is a URL of PostgreSQL.
func isPostgres(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}

// holdsPassword reports whether a database setting has a password in it.
func holdsPassword(database string) bool {
	parsed, err := url.Parse(database)
	if err != nil {
		return strings.Contains(database, "://")
	}
	_, has := parsed.User.Password()
	return has || parsed.Query().Has("password")
}

// validate refuses what "serve" could not run with, all of it at once.
func (c config) validate() error {
	return errors.Join(c.checkOrigin(), c.checkListeners(), c.checkTLS(), c.checkDatabase(), c.checkMail(), c.cluster.validate())
}

func (c config) checkOrigin() error {
	if c.origin == "" {
		return errors.New("origin is required: how people reach the portal, as https://portal.example.org")
	}
	parsed, err := url.Parse(c.origin)
	if err != nil || parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil || "https://"+parsed.Host != c.origin {
		return fmt.Errorf("origin: %q is not https://host or https://host:port with nothing after it", c.origin)
	}
	return nil
}

func (c config) checkListeners() error {
	var errs []error
	if err := checkAddress(c.listen); err != nil {
		errs = append(errs, fmt.Errorf("listen: %w", err))
	}
	if c.opsListen != "" {
		if err := checkAddress(c.opsListen); err != nil {
			errs = append(errs, fmt.Errorf("ops-listen: %w", err))
		}
	}
	return errors.Join(errs...)
}

func checkAddress(address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%q is not host:port", address)
	}
	return nil
}

func (c config) checkTLS() error {
	if c.behindProxy {
		var errs []error
		if c.tlsCert != "" || c.tlsKey != "" {
			errs = append(errs, errors.New("behind-proxy serves without TLS: leave tls-cert and tls-key out, or leave behind-proxy out"))
		}
		if len(c.trustedProxies) == 0 {
			errs = append(errs, errors.New("behind-proxy needs trusted-proxies: the networks of the proxies that do TLS"))
		}
		return errors.Join(errs...)
	}
	if c.tlsCert == "" || c.tlsKey == "" {
		return errors.New("tls-cert and tls-key are required, or behind-proxy and trusted-proxies where a proxy does TLS")
	}
	return nil
}

func (c config) checkDatabase() error {
	if c.database == "" {
		return errors.New("database is required: a file, or a postgres:// URL")
	}
	if strings.Contains(c.database, "://") && !isPostgres(c.database) {
		return errors.New("database: it is neither a file nor a postgres:// URL")
	}
	if c.keyFile == "" {
		return errors.New("key-file is required; \"portal keys create\" makes it")
	}
	return nil
}

func (c config) checkMail() error {
	var errs []error
	if c.mail.server == "" {
		errs = append(errs, errors.New("mail-server is required: accounts are proved by mail"))
	} else if err := checkAddress(c.mail.server); err != nil {
		errs = append(errs, fmt.Errorf("mail-server: %w", err))
	}
	if _, err := portal.ParseEmail(c.mail.from); err != nil {
		errs = append(errs, errors.New("mail-from is required: an address such as no-reply@example.org"))
	}
	if (c.mail.user == "") != (c.mail.passwordFile == "") {
		errs = append(errs, errors.New("mail-user and mail-password-file go together"))
	}
	return errors.Join(errs...)
}
