package clientip

import (
	"strings"

	"github.com/lethe-dev/lethe/portal"
)

// Agent is a User-Agent header as it may be kept: at most portal.MaxUserAgent bytes of
// printable ASCII. What is not printable becomes a question mark.
func Agent(userAgent string) string {
	var b strings.Builder
	for _, c := range strings.Trim(userAgent, " \t") {
		if c < ' ' || c > '~' {
			c = '?'
		}
		b.WriteByte(byte(c))
		if b.Len() == portal.MaxUserAgent {
			break
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// mark is a word in a User-Agent header, and what it says.
type mark struct{ word, means string }

// families, the most telling first: browsers name those whose pages they want to get too.
var families = []mark{
	{"Edg", "Edge"},
	{"OPR/", "Opera"},
	{"OPT/", "Opera"},
	{"SamsungBrowser/", "Samsung Internet"},
	{"Vivaldi/", "Vivaldi"},
	{"YaBrowser/", "Yandex Browser"},
	{"DuckDuckGo/", "DuckDuckGo"},
	{"Firefox/", "Firefox"},
	{"FxiOS/", "Firefox"},
	{"HeadlessChrome/", "Chrome"},
	{"Chrome/", "Chrome"},
	{"CriOS/", "Chrome"},
	{"Safari/", "Safari"},
	{"curl/", "curl"},
	{"Wget/", "Wget"},
	{"python", "a Python program"},
	{"Python", "a Python program"},
	{"Go-http-client/", "a Go program"},
}

// systems, the most telling first: Android says that it is Linux too.
var systems = []mark{
	{"Android", "Android"},
	{"iPhone", "iPhone"},
	{"iPad", "iPad"},
	{"iPod", "iPod"},
	{"CrOS", "ChromeOS"},
	{"Windows", "Windows"},
	{"Mac OS X", "macOS"},
	{"Macintosh", "macOS"},
	{"FreeBSD", "FreeBSD"},
	{"OpenBSD", "OpenBSD"},
	{"Linux", "Linux"},
}

// Browser is the family and system that a User-Agent header claims, such as "Firefox on
// Linux", in words of ours: it stands in mails and pages, so nothing of the header does.
func Browser(userAgent string) string {
	family, known := meaning(families, userAgent)
	system, placed := meaning(systems, userAgent)
	switch {
	case known && placed:
		return family + " on " + system
	case known:
		return family
	case placed:
		return "an unknown browser on " + system
	default:
		return "an unknown browser"
	}
}

func meaning(marks []mark, userAgent string) (string, bool) {
	for _, m := range marks {
		if strings.Contains(userAgent, m.word) {
			return m.means, true
		}
	}
	return "", false
}
