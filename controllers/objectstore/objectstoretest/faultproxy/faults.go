package faultproxy

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Fault is what a request meets.
type Fault struct{ apply func(*exchange) }

// Refuse answers with a status and S3's code for an error; the store never hears of
// the request. 503 SlowDown and 403 AccessDenied are usual ones.
func Refuse(status int, code string) Fault {
	return Fault{apply: func(x *exchange) { x.refuse(status, code) }}
}

// RefuseAfter is Refuse of a request that has taken effect.
func RefuseAfter(status int, code string) Fault {
	return Fault{apply: func(x *exchange) {
		if _, _, ok := x.whole(); ok { //nolint:bodyclose // Read whole and closed.
			x.refuse(status, code)
		}
	}}
}

func (x *exchange) refuse(status int, code string) {
	_, _ = io.Copy(io.Discard, x.r.Body) // Else the client may miss the answer.
	x.w.Header().Set("Content-Type", "application/xml")
	x.w.Header().Set("Server", "MinIO")
	x.w.WriteHeader(status)
	fmt.Fprintf(x.w, "<Error><Code>%s</Code><Message>%s</Message><Resource>%[2]s</Resource></Error>", code, x.r.URL.Path)
}

// Silence never answers; the store never hears of the request.
func Silence() Fault {
	return Fault{apply: func(x *exchange) {
		_, _ = io.Copy(io.Discard, x.r.Body)
		x.wait(math.MaxInt64)
	}}
}

// SilenceAfter never answers a request that has taken effect.
func SilenceAfter() Fault {
	return Fault{apply: func(x *exchange) {
		if _, _, ok := x.whole(); ok { //nolint:bodyclose // Read whole and closed.
			x.wait(math.MaxInt64)
		}
	}}
}

// Slow takes this long before it passes the request on.
func Slow(d time.Duration) Fault {
	return Fault{apply: func(x *exchange) {
		x.wait(d)
		x.pass()
	}}
}

// Reset breaks the connection; the store never hears of the request.
func Reset() Fault { return Fault{apply: func(x *exchange) { x.reset() }} }

// ResetAfter breaks the connection of a request that has taken effect.
func ResetAfter() Fault {
	return Fault{apply: func(x *exchange) {
		if _, _, ok := x.whole(); ok { //nolint:bodyclose // Read whole and closed.
			x.reset()
		}
	}}
}

// reset ends the connection as a machine that crashed does: with RST, and nothing of
// TLS.
func (x *exchange) reset() {
	connection, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	plain := connection
	if secure, ok := connection.(*tls.Conn); ok {
		plain = secure.NetConn()
	}
	if tcp, ok := plain.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = plain.Close()
}

// BreakOff announces the whole answer and sends half of it.
func BreakOff() Fault {
	return Fault{apply: func(x *exchange) {
		answer, body, ok := x.whole() //nolint:bodyclose // Read whole and closed.
		if !ok {
			return
		}
		answer.Header.Set("Content-Length", strconv.Itoa(len(body)+1))
		x.head(answer)
		_, _ = x.w.Write(body[:len(body)/2])
		_ = http.NewResponseController(x.w).Flush() // Else the client may see nothing of it.
		panic(http.ErrAbortHandler)
	}}
}

// Shorten sends half of the answer as if that were all.
func Shorten() Fault {
	return rewrite(func(body []byte) []byte { return body[:len(body)/2] })
}

// KeyErrors makes the answer to a DeleteObjects say that the keys which contain part
// were not removed, with this code. They were.
func KeyErrors(part, code string) Fault {
	return rewriteDeleted(part, "<Error>$1<Code>"+code+"</Code><Message>for $1</Message></Error>")
}

// KeySilence makes the answer to a DeleteObjects not mention the keys that contain
// part.
func KeySilence(part string) Fault { return rewriteDeleted(part, "") }

// deleted is one key in the answer to a DeleteObjects; MinIO has some more elements in
// it for markers.
var deleted = regexp.MustCompile(`(?s)<Deleted>(.*?)</Deleted>`)

func rewriteDeleted(part, with string) Fault {
	return rewrite(func(body []byte) []byte {
		return deleted.ReplaceAllFunc(body, func(one []byte) []byte {
			if !bytes.Contains(one, []byte(part)) {
				return one
			}
			inner := strings.TrimSuffix(strings.TrimPrefix(string(one), "<Deleted>"), "</Deleted>")
			return []byte(strings.ReplaceAll(with, "$1", inner))
		})
	})
}

// rewrite changes the body of an answer.
func rewrite(change func([]byte) []byte) Fault {
	return Fault{apply: func(x *exchange) {
		answer, body, ok := x.whole() //nolint:bodyclose // Read whole and closed.
		if !ok {
			return
		}
		body = change(body)
		answer.Header.Set("Content-Length", strconv.Itoa(len(body)))
		x.head(answer)
		_, _ = x.w.Write(body)
	}}
}
