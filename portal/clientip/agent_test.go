package clientip_test

import (
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/clientip"
)

func TestWhatIsKeptOfAUserAgent(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ agent, want string }{
		"as it is":              {agent: "curl/8.5.0", want: "curl/8.5.0"},
		"nothing":               {},
		"without spaces around": {agent: " \tcurl/8.5.0 ", want: "curl/8.5.0"},
		"one line":              {agent: "a\r\nb", want: "a??b"},
		"ASCII":                 {agent: "aäb\u202ec\xff\x00", want: "a?b?c??"},
		"256 bytes":             {agent: strings.Repeat("a", 1000), want: strings.Repeat("a", portal.MaxUserAgent)},
		"256 bytes of others":   {agent: strings.Repeat("ä", 1000), want: strings.Repeat("?", portal.MaxUserAgent)},
		"no space at the cut":   {agent: strings.Repeat("a", portal.MaxUserAgent-1) + " b", want: strings.Repeat("a", portal.MaxUserAgent-1)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := clientip.Agent(test.agent); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestWhichBrowser(t *testing.T) {
	t.Parallel()
	const webkit = "AppleWebKit/537.36 (KHTML, like Gecko) "
	tests := map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                           "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + webkit + "Chrome/138.0.0.0 Safari/537.36":                                           "Chrome on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + webkit + "Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0":                             "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15":            "Safari on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile Safari/604.1": "Safari on iPhone",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/138.0 Mobile Safari/604.1":  "Chrome on iPhone",
		"Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/140.0 Mobile Safari/605.1.15":        "Firefox on iPad",
		"Mozilla/5.0 (Linux; Android 15; Pixel 9) " + webkit + "Chrome/138.0.0.0 Mobile Safari/537.36":                                     "Chrome on Android",
		"Mozilla/5.0 (Linux; Android 15; SM-S921B) " + webkit + "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36":                "Samsung Internet on Android",
		"Mozilla/5.0 (Linux; Android 15) " + webkit + "Chrome/138.0.0.0 Mobile Safari/537.36 EdgA/138.0.0.0":                               "Edge on Android",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) " + webkit + "Chrome/138.0.0.0 Safari/537.36":                                            "Chrome on ChromeOS",
		"Mozilla/5.0 (X11; Linux x86_64) " + webkit + "Chrome/138.0.0.0 Safari/537.36 OPR/120.0.0.0":                                       "Opera on Linux",
		"Mozilla/5.0 (X11; Linux x86_64) " + webkit + "HeadlessChrome/138.0.0.0 Safari/537.36":                                             "Chrome on Linux",
		"curl/8.5.0":                           "curl",
		"Go-http-client/2.0":                   "a Go program",
		"python-requests/2.32":                 "a Python program",
		"Mozilla/5.0 (X11; Linux x86_64) New/": "an unknown browser on Linux",
		"":                                     "an unknown browser",
		"<script>alert(1)</script>\r\nX: y":    "an unknown browser",
	}
	for agent, want := range tests {
		t.Run(want+" "+agent, func(t *testing.T) {
			t.Parallel()
			if got := clientip.Browser(agent); got != want {
				t.Errorf("%q: got %q, want %q", agent, got, want)
			}
		})
	}
}

func FuzzAgent(f *testing.F) {
	f.Add("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	f.Add("a\xff\x00\r\n")
	f.Fuzz(func(t *testing.T, agent string) {
		kept := clientip.Agent(agent)
		if len(kept) > portal.MaxUserAgent {
			t.Errorf("%d bytes are kept", len(kept))
		}
		for _, c := range []byte(kept) {
			if c < ' ' || c > '~' {
				t.Errorf("%q is kept", c)
			}
		}
		if again := clientip.Agent(kept); again != kept {
			t.Errorf("%q becomes %q", kept, again)
		}
		for _, word := range strings.Fields(clientip.Browser(agent)) {
			if !strings.Contains("Edge Opera Samsung Internet Vivaldi Yandex Browser DuckDuckGo Firefox Chrome Safari curl Wget "+
				"a Python program Go on Android iPhone iPad iPod ChromeOS Windows macOS FreeBSD OpenBSD Linux an unknown browser", word) {
				t.Errorf("%q says %q", agent, word)
			}
		}
	})
}
