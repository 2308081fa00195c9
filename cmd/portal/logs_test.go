package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

func TestLogsCarryNoAddressesAndNoSecrets(t *testing.T) {
	t.Parallel()
	const secret = "abcdefghijkmnpqrstuvwxyz23456789abcdefghijkmnpqrstuv"
	for name, text := range map[string]string{
		"a mail address":               "550 5.1.1 <Ada.Lovelace+x@People.example>: no such user",
		"a mail address in a list":     "to=ada.lovelace@people.example,x",
		"an IPv4 address":              "read tcp 10.1.2.3:8443->203.0.113.77:51234: connection reset by peer",
		"an IPv4 address in brackets":  "[203.0.113.77]",
		"an IPv4 address after a word": "from:203.0.113.77",
		"an IPv6 address":              "dial tcp [2001:db8:1:2::77]:25: i/o timeout",
		"a long IPv6 address":          "client 2001:db8:1:2:3:4:5:77 left",
		"an IPv6 address with a zone":  "fe80::77%eth0",
		"a mapped address":             "::ffff:203.0.113.77",
		"a URL with a password":        "cannot parse `postgres://portal:hunter2@db:5432/x`",
		"a link of a mail":             "GET /verify?token=" + secret + " HTTP/2",
		"a token":                      "lethe_pat_" + secret + "0123abcd",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			log := newLog(&out, slog.LevelDebug).With("base", text).WithGroup("g")
			log.Error(text, "string", text, "error", errors.New(text), "wrapped", fmt.Errorf("x: %w", errors.New(text)),
				slog.Group("inner", "deep", text), "slice", []string{text}, "struct", struct{ A string }{text}, "stringer", bytes.NewBufferString(text))
			for _, never := range []string{"ada", "people", "203.0", "10.1.2", ".77", ":77", "2001", "fe80", "hunter2", secret[:20]} {
				if strings.Contains(strings.ToLower(out.String()), never) {
					t.Errorf("%q is in the log: %s", never, out.String())
				}
			}
		})
	}
}

func TestValuesOfLogsKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"at 12:34:56 it was over", "goroutine 1 [running]:", "/work/portal/web/server.go:41 +0x1d", "v1.26.8", "status 200", "took 1.5s",
		"read the settings: portal.yaml: hash-slots: \"many\" is not a number", "x509: certificate has expired", "postgres://db:5432/x",
	} {
		if got := redact(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// FuzzRedact: no address gets through, whatever stands around it.
func FuzzRedact(f *testing.F) {
	f.Add("from ", uint32(0xcb007137), uint64(0x20010db800000000), uint64(0x77), " on")
	f.Add("a:", uint32(1), uint64(0), uint64(1), ":b")
	ipv4Form := regexp.MustCompile(`\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}`)
	f.Fuzz(func(t *testing.T, before string, four uint32, high, low uint64, after string) {
		v4 := netip.AddrFrom4([4]byte{byte(four >> 24), byte(four >> 16), byte(four >> 8), byte(four)}).String()
		if got := redact(before + v4 + after); ipv4Form.MatchString(got) {
			t.Errorf("%q: %q", before+v4+after, got)
		}
		var six [16]byte
		for i := range 8 {
			six[i], six[8+i] = byte(high>>(56-8*i)), byte(low>>(56-8*i))
		}
		v6 := netip.AddrFrom16(six).String()
		if got := redact(before + " " + v6 + " " + after); strings.Contains(got, " "+v6+" ") {
			t.Errorf("%q: %q", v6, got)
		}
	})
}

// TestServerErrorsNameNobody: net/http's own lines carry the client's address.
func TestServerErrorsNameNobody(t *testing.T) {
	t.Parallel()
	for line, kind := range map[string]string{
		"http: TLS handshake error from 203.0.113.77:51234: EOF":                                     "tls-handshake",
		"http: panic serving 203.0.113.77:51234: ada@people.example\ngoroutine 7 [running]:\nmain.x": "panic",
		"http: Accept error: accept tcp [::]:8443: too many open files; retrying in 5ms":             "accept",
		"something else of 203.0.113.77":                                                             "other",
	} {
		var out bytes.Buffer
		counted := map[string]int{}
		errors := serverErrors{log: newLog(&out, slog.LevelDebug), count: func(kind string) { counted[kind]++ }}
		errors.logger().Print(line)
		if counted[kind] != 1 {
			t.Errorf("%q was counted as %v, not %s", line, counted, kind)
		}
		if text := out.String(); !strings.Contains(text, kind) || strings.Contains(text, "203.0") || strings.Contains(text, "ada") {
			t.Errorf("%q became %s", line, text)
		}
	}
}
