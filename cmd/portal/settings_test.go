package main

import (
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestSettingsComeFromFlagsVariablesAndFile(t *testing.T) {
	t.Parallel()
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "portal.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	change := func(f func(*config)) config {
		c := defaults()
		f(&c)
		return c
	}
	for name, test := range map[string]struct {
		args, environ []string
		file          string
		want          config
		rest          []string
	}{
		"nothing is given": {want: defaults()},
		"a flag wins over all": {
			args: []string{"--listen=:1"}, environ: []string{"LETHE_PORTAL_LISTEN=:2"}, file: "listen: ':3'",
			want: change(func(c *config) { c.listen = ":1" }),
		},
		"a variable wins over the file": {
			environ: []string{"LETHE_PORTAL_LISTEN=:2", "PATH=/bin"}, file: "listen: ':3'",
			want: change(func(c *config) { c.listen = ":2" }),
		},
		"the file wins over the default": {
			file: "listen: ':3'\nhash-slots: 7\nbehind-proxy: true\ntrusted-proxies: [10.0.0.0/8, '2001:db8::1']\ndrain-limit: 5s\n",
			want: change(func(c *config) {
				c.listen, c.hashSlots, c.behindProxy, c.drainLimit = ":3", 7, true, 5*time.Second
				c.trustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128")}
			}),
		},
		"an empty variable is a value": {
			environ: []string{"LETHE_PORTAL_OPS_LISTEN="}, want: change(func(c *config) { c.opsListen = "" }),
		},
		"flags stand before and after arguments": {
			args: []string{"--listen", ":1", "a", "--behind-proxy", "b"},
			want: change(func(c *config) { c.listen, c.behindProxy = ":1", true }), rest: []string{"a", "b"},
		},
		"a URL without a password may be a flag": {
			args: []string{"--database=postgres://portal@db/portal"},
			want: change(func(c *config) { c.database = "postgres://portal@db/portal" }),
		},
		"the mail server wants TLS from the first byte": {
			args: []string{"--mail-tls=implicit"}, want: change(func(c *config) { c.mail.implicitTLS = true }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, args := defaults(), test.args
			if test.file != "" {
				path := file(test.file)
				test.want.file = path
				args = append([]string{"--config=" + path}, args...)
			}
			rest, err := apply(got.settings(), args, test.environ, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(config{}, clusterConfig{}, mailConfig{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.rest, rest, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWrongSettingsAreAllTold: whoever mends one hears of the others in the same breath.
func TestWrongSettingsAreAllTold(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "portal.yaml")
	if err := os.WriteFile(path, []byte("lisen: ':1'\nhash-slots: many\nproxy-header: Via\ngeo-file: {a: b}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := defaults()
	_, err := apply(c.settings(), []string{
		"--config", path, "--trusted-proxies=10.0.0.1/33", "--database=postgres://u:hunter2@db/x", "--drain-limit=1h", "--behind-proxy=maybe",
	}, []string{"LETHE_PORTAL_LISTEM=:1", "LETHE_PORTAL_LOG_LEVEL=loud", "LETHE_PORTAL_MAIL_TLS=none", "LETHE_PORTAL_HASH_MEMORY=8"}, io.Discard)
	if err == nil {
		t.Fatal("all of it was taken")
	}
	for _, want := range []string{
		`portal.yaml: "lisen" is not a setting`,
		`portal.yaml: hash-slots: "many" is not a number`,
		`portal.yaml: proxy-header: "Via" is neither`,
		`portal.yaml: geo-file: neither a word`,
		`--trusted-proxies: "10.0.0.1/33" is not a network`,
		`--database holds a password`, `LETHE_PORTAL_DATABASE`,
		`--drain-limit: "1h" is not a time up to 10m0s`,
		`--behind-proxy: "maybe"`,
		`LETHE_PORTAL_LISTEM is not a setting`,
		`LETHE_PORTAL_LOG_LEVEL: the level is`,
		`LETHE_PORTAL_MAIL_TLS: "none" is neither`,
		`LETHE_PORTAL_HASH_MEMORY: "8" is not a number from 19`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s", want)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password is told: %v", err)
	}
	if t.Failed() {
		t.Logf("told: %v", err)
	}
}

func TestWhatServeCanNotRunWithIsRefused(t *testing.T) {
	t.Parallel()
	good := func() config {
		c := defaults()
		c.origin, c.tlsCert, c.tlsKey = "https://portal.example.org", "a", "b"
		c.mail = mailConfig{server: "mail:587", from: "no-reply@example.org"}
		return c
	}
	for name, test := range map[string]struct {
		change func(*config)
		want   string // "" for none
	}{
		"all is there":                       {change: func(*config) {}},
		"a port in the origin":               {change: func(c *config) { c.origin = "https://localhost:8443" }},
		"behind proxies":                     {change: func(c *config) { proxied(c) }},
		"no origin":                          {change: func(c *config) { c.origin = "" }, want: "origin is required"},
		"an origin with a path":              {change: func(c *config) { c.origin += "/portal" }, want: "nothing after it"},
		"an origin with a slash":             {change: func(c *config) { c.origin += "/" }, want: "nothing after it"},
		"an origin without TLS":              {change: func(c *config) { c.origin = "http://portal.example.org" }, want: "is not https://"},
		"no certificate":                     {change: func(c *config) { c.tlsKey = "" }, want: "tls-cert and tls-key are required"},
		"a certificate behind a proxy":       {change: func(c *config) { proxied(c); c.tlsCert = "a" }, want: "leave tls-cert"},
		"behind a proxy that is not named":   {change: func(c *config) { proxied(c); c.trustedProxies = nil }, want: "needs trusted-proxies"},
		"an address without a port":          {change: func(c *config) { c.listen = "localhost" }, want: "listen:"},
		"another database":                   {change: func(c *config) { c.database = "mysql://x" }, want: "neither a file"},
		"no mail server":                     {change: func(c *config) { c.mail.server = "" }, want: "mail-server is required"},
		"a sender that is no address":        {change: func(c *config) { c.mail.from = "Lethe" }, want: "mail-from is required"},
		"a user of mail without a password":  {change: func(c *config) { c.mail.user = "u" }, want: "go together"},
		"no place for health, which is fine": {change: func(c *config) { c.opsListen = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := good()
			test.change(&c)
			err := c.validate()
			if test.want == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func proxied(c *config) {
	c.behindProxy, c.tlsCert, c.tlsKey = true, "", ""
	c.trustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
}

func TestWholeWorldIsNoTrustedProxy(t *testing.T) {
	t.Parallel()
	var to []netip.Prefix
	for _, all := range []string{"0.0.0.0/0", "10.0.0.0/8,::/0"} {
		if prefixes(&to)(all) == nil {
			t.Errorf("%s was taken", all)
		}
	}
}

// TestReadmeNamesAllSettings, and none that is not.
func TestReadmeNamesAllSettings(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../portal/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Settings\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var told []string
	for line := range strings.Lines(section) {
		if first, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | "); ok && strings.HasPrefix(first, "`") {
			told = append(told, strings.Split(strings.ReplaceAll(first, "`", ""), ", ")...)
		}
	}
	c := defaults()
	var are []string
	for _, s := range c.settings() {
		are = append(are, s.name)
	}
	if diff := cmp.Diff(are, told, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("settings (-are +told):\n%s", diff)
	}
}
