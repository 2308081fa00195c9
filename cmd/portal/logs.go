package main

import (
	"context"
	"io"
	"log"
	"log/slog"
	"regexp"
	"strings"
)

// newLog writes JSON lines. Nothing of ours logs addresses, IPs or secrets; errors of
// libraries may carry them (a mail server repeats the recipient, a dialler names the peer,
// a driver its URL), so every text is redacted on its way out.
func newLog(out io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(&redactor{slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})})
}

// redactor redacts messages and attributes.
type redactor struct{ next slog.Handler }

func (r *redactor) Enabled(ctx context.Context, level slog.Level) bool {
	return r.next.Enabled(ctx, level)
}

func (r *redactor) Handle(ctx context.Context, record slog.Record) error {
	clean := slog.NewRecord(record.Time, record.Level, redact(record.Message), record.PC)
	record.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(redactAttr(a))
		return true
	})
	return r.next.Handle(ctx, clean)
}

func (r *redactor) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = redactAttr(a)
	}
	return &redactor{r.next.WithAttrs(clean)}
}

func (r *redactor) WithGroup(name string) slog.Handler { return &redactor{r.next.WithGroup(name)} }

func redactAttr(a slog.Attr) slog.Attr {
	value := a.Value.Resolve()
	switch value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, redact(value.String()))
	case slog.KindGroup:
		group := value.Group()
		clean := make([]slog.Attr, len(group))
		for i, member := range group {
			clean[i] = redactAttr(member)
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(clean...)}
	case slog.KindAny:
		// As text: what a struct or an error would become in JSON can't be looked through.
		return slog.String(a.Key, redact(value.String()))
	default:
		return slog.Attr{Key: a.Key, Value: value}
	}
}

var (
	// mailAddress is wider than addresses are: too much redacted is no harm.
	mailAddress = regexp.MustCompile(`[^\s<>"'(),;:=@/\\]+@[^\s<>"'(),;:=@/\\]+`)
	// userInfo is the "user:password@" of a URL.
	userInfo = regexp.MustCompile(`://[^\s/@]*@`)
	// secretText is any of our secrets: 52 letters and digits (portal.NewSecret), with or
	// without what stands around it in a token.
	secretText = regexp.MustCompile(`[a-z2-9]{52,}`)
	ipv4       = regexp.MustCompile(`\d{1,3}(?:\.\d{1,3}){3}`)
	// ipv6 is wider than addresses are: hexadecimal with a double colon or many single
	// ones. A time of day has two.
	ipv6 = regexp.MustCompile(`[0-9A-Fa-f:]*::[0-9A-Fa-f:]*|[0-9A-Fa-f]*(?::[0-9A-Fa-f]+){5,}`)
)

// redact takes out of a text what may identify a person or open a door.
func redact(text string) string {
	text = userInfo.ReplaceAllString(text, "://[redacted]@")
	text = mailAddress.ReplaceAllString(text, "[address]")
	text = secretText.ReplaceAllString(text, "[secret]")
	text = ipv4.ReplaceAllString(text, "[ip]")
	return ipv6.ReplaceAllString(text, "[ip]")
}

// serverErrors is where net/http tells what goes wrong below a handler: mostly clients
// that speak no TLS or hang up. Its lines name their addresses, so only what happened is
// logged, and counted.
type serverErrors struct {
	log   *slog.Logger
	count func(kind string)
}

// kindsOfServerError are beginnings of net/http's lines, and what they are counted as.
var kindsOfServerError = []struct{ begins, kind string }{
	{"http: TLS handshake error", "tls-handshake"},
	{"http: panic serving", "panic"},
	{"http: Accept error", "accept"},
	{"http2:", "http2"},
	{"http: superfluous response.WriteHeader", "handler"},
	{"http: response.Write", "handler"},
	{"http: URL query contains semicolon", "request"},
}

// Write takes one line.
func (e serverErrors) Write(line []byte) (int, error) {
	kind := "other"
	for _, known := range kindsOfServerError {
		if strings.HasPrefix(string(line), known.begins) {
			kind = known.kind
			break
		}
	}
	e.count(kind)
	level := slog.LevelWarn
	if kind == "tls-handshake" || kind == "http2" || kind == "request" {
		level = slog.LevelDebug // scanners make thousands of them
	}
	e.log.Log(context.Background(), level, "The HTTP server met an error", "kind", kind)
	return len(line), nil
}

func (e serverErrors) logger() *log.Logger { return log.New(e, "", 0) }
