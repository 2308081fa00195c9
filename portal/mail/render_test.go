package mail_test

import (
	"bytes"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/mail"
)

var update = flag.Bool("update", false, "write the golden files")

var noon = time.Date(2026, time.March, 2, 12, 4, 5, 0, time.UTC)

func options() mail.Options {
	return mail.Options{
		Service: "Lethe", Origin: "https://portal.example.org",
		From: netmail.Address{Name: "Lethe", Address: "portal@example.org"}, ReplyTo: "help@example.org",
	}
}

// example is a mail of a kind with all data that any kind uses.
func example(kind portal.MailKind) portal.Mail {
	m := portal.Mail{
		ID: "abcdefghijkmnpqrstuvwxyz23", Account: "person", To: "Ada@example.net", Kind: kind, CreatedAt: noon,
		Data: portal.MailData{
			Time: noon, Link: "/verify?token=" + strings.Repeat("abcdefghij23", 4), Browser: "Firefox on Linux", Country: "NZ",
			Name: "laptop <work>", Left: 7,
		},
	}
	switch kind { //nolint:exhaustive // The others have nothing of their own.
	case portal.MailRunFailed:
		m.Data.Text = "Your program ended with exit code 137: it used more memory than it had asked for. Ask for more, or use less."
	case portal.MailRunStopped:
		m.Data.Text = "It had used 3 GPU hours, as many as it was allowed."
	case portal.MailDatasetExpires:
		m.Data.Until = noon.Add(3*24*time.Hour + time.Hour)
	case portal.MailDatasetErased:
		m.Data.Text = "sha256:" + strings.Repeat("0123456789abcdef", 4)
	}
	switch kind { //nolint:exhaustive // Only these have a page of their own.
	case portal.MailRunStarted, portal.MailRunFinished, portal.MailRunFailed, portal.MailRunStopped:
		m.Data.Link, m.Data.Name = "/runs/abcdefghijkmnpqrstuvwxyz23", "Speech <second try>"
	case portal.MailDatasetExpires, portal.MailDatasetErased:
		m.Data.Link, m.Data.Name = "/datasets/abcdefghijkmnpqrstuvwxyz23", "Speech <second try>"
	}
	if kind == portal.MailRoleChanged {
		m.Data.Name = string(portal.RoleSecurity)
	}
	return m
}

func render(t *testing.T, m portal.Mail) mail.Message {
	t.Helper()
	message, err := mail.Render(options(), m)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestWhatEachKindSays(t *testing.T) {
	t.Parallel()
	for _, kind := range portal.MailKinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			message := render(t, example(kind))
			golden(t, string(kind)+".txt", message.Text)
			golden(t, string(kind)+".html", message.HTML)
		})
	}
}

func TestNoGoldenFileIsLeftOver(t *testing.T) {
	t.Parallel()
	want := []string{"whole.eml"}
	for _, kind := range portal.MailKinds() {
		want = append(want, string(kind)+".html", string(kind)+".txt")
	}
	slices.Sort(want)
	var got []string
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !file.IsDir() {
			got = append(got, file.Name())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("testdata (-want +got):\n%s", diff)
	}
}

func TestAWholeMailOnTheWire(t *testing.T) {
	t.Parallel()
	wire, err := mail.MIME(render(t, example(portal.MailRecoveryUsed)))
	if err != nil {
		t.Fatal(err)
	}
	again, err := mail.MIME(render(t, example(portal.MailRecoveryUsed)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(wire, again) {
		t.Error("the same mail is another one the second time")
	}
	golden(t, "whole.eml", strings.ReplaceAll(string(wire), "\r\n", "\n"))
}

// TestNothingIsLoaded holds promise P1: who opens a mail tells nobody.
func TestNothingIsLoaded(t *testing.T) {
	t.Parallel()
	for _, kind := range portal.MailKinds() {
		message := render(t, example(kind))
		if strings.Contains(message.HTML, "url(") || strings.Contains(message.HTML, "@import") {
			t.Errorf("%s: a style loads something", kind)
		}
		root, err := html.Parse(strings.NewReader(message.HTML))
		if err != nil {
			t.Fatal(err)
		}
		for node := range root.Descendants() {
			checkNode(t, kind, node)
		}
	}
}

// checkNode knows what elements and attributes may be in a mail. None of them loads
// anything.
func checkNode(t *testing.T, kind portal.MailKind, node *html.Node) {
	t.Helper()
	if node.Type != html.ElementNode {
		return
	}
	elements := strings.Fields("html head meta title body table tbody tr th td h1 h2 p a br span")
	if !slices.Contains(elements, node.Data) {
		t.Errorf("%s: element %s", kind, node.Data)
	}
	attributes := strings.Fields("lang charset name content style role width cellpadding cellspacing border align valign scope")
	for _, a := range node.Attr {
		if a.Key == "href" && node.Data == "a" {
			path, own := strings.CutPrefix(a.Val, options().Origin)
			if !own || (path != "" && path != example(kind).Data.Link && !slices.Contains(mail.Paths(), path)) {
				t.Errorf("%s: a link to %s", kind, a.Val)
			}
			continue
		}
		if !slices.Contains(attributes, a.Key) {
			t.Errorf("%s: attribute %s of %s", kind, a.Key, node.Data)
		}
	}
}

// TestBothPartsSayTheSame compares the words of the two parts, without what frames them.
func TestBothPartsSayTheSame(t *testing.T) {
	t.Parallel()
	for _, kind := range portal.MailKinds() {
		message := render(t, example(kind))
		root, err := html.Parse(strings.NewReader(message.HTML))
		if err != nil {
			t.Fatal(err)
		}
		text := words(message.Text)
		for node := range root.Descendants() {
			if node.Type == html.TextNode && node.Parent.Data != "title" && !strings.Contains(text, words(node.Data)) {
				t.Errorf("%s: only the HTML says %q", kind, node.Data)
			}
			if node.Type != html.ElementNode || node.Data != "a" {
				continue
			}
			for _, a := range node.Attr {
				if a.Key == "href" && !strings.Contains(message.Text, a.Val) {
					t.Errorf("%s: only the HTML links to %s", kind, a.Val)
				}
			}
		}
	}
}

func words(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestLinesOfTextAreShort(t *testing.T) {
	t.Parallel()
	for _, kind := range portal.MailKinds() {
		for line := range strings.Lines(render(t, example(kind)).Text) {
			if len(line) > 79 && !strings.HasPrefix(line, "https://") {
				t.Errorf("%s: %d characters: %s", kind, len(line), line)
			}
		}
	}
}

func TestOnlyWhoIsToHaveALinkGetsIt(t *testing.T) {
	t.Parallel()
	linked := []portal.MailKind{
		portal.MailVerify, portal.MailResetPassword, portal.MailConfirmNewEmail, portal.MailEmailChanged, portal.MailConfirmDevice,
		portal.MailRunStarted, portal.MailRunFinished, portal.MailRunFailed, portal.MailRunStopped,
		portal.MailDatasetExpires, portal.MailDatasetErased,
	}
	for _, kind := range portal.MailKinds() {
		m := example(kind)
		message := render(t, m)
		if got, want := strings.Contains(message.Text, m.Data.Link), slices.Contains(linked, kind); got != want {
			t.Errorf("%s: has the link: %v, want %v", kind, got, want)
		}
		if strings.Contains(message.Subject, "abcdef") {
			t.Errorf("%s: the subject has the secret", kind)
		}
	}
}

func TestOptionalMailsSayWhereTheyAreSwitchedOff(t *testing.T) {
	t.Parallel()
	for _, kind := range portal.MailKinds() {
		text := words(render(t, example(kind)).Text)
		optional := slices.Contains(portal.OptionalMails(), kind)
		if got := strings.Contains(text, "/account/mails"); got != optional {
			t.Errorf("%s: says where it is switched off: %v, want %v", kind, got, optional)
		}
		if got := strings.Contains(text, "can't be switched off"); got == optional {
			t.Errorf("%s: says that it can't be: %v", kind, got)
		}
	}
}

func TestWhenADatasetWillBeErased(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		left time.Duration
		want string
	}{
		"a week":              {7 * 24 * time.Hour, "erased in 7 days:"},
		"a little less":       {7*24*time.Hour - time.Minute, "erased in 7 days:"},
		"a day":               {24 * time.Hour, "erased in a day:"},
		"hours":               {23 * time.Hour, "erased in less than a day:"},
		"the mail comes late": {-time.Hour, "erased in less than a day:"},
	} {
		m := example(portal.MailDatasetExpires)
		m.Data.Until = noon.Add(test.left)
		text := words(render(t, m).Text)
		if !strings.Contains(text, test.want) {
			t.Errorf("%s: no %q in:\n%s", name, test.want, text)
		}
	}
	m := example(portal.MailDatasetExpires)
	m.Data.Until = time.Time{}
	if text := words(render(t, m).Text); !strings.Contains(text, "erased soon:") || strings.Contains(text, "0001") {
		t.Errorf("a time that is not known:\n%s", text)
	}
}

func TestWhatIsToldOfAFailure(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, want string }{
		"a hint":                       {"Use less memory.", "UTC. Use less memory. Its page"},
		"no hint":                      {"", "UTC. Its page"},
		"one line of many":             {"a\r\n.\r\nb", "UTC. a . b Its page"},
		"the beginning of a long text": {strings.Repeat("ä", 2000), strings.Repeat("ä", 999) + "… Its page"},
	} {
		m := example(portal.MailRunFailed)
		m.Data.Text = test.text
		if text := words(render(t, m).Text); !strings.Contains(text, test.want) {
			t.Errorf("%s: no %q in:\n%s", name, test.want, text)
		}
	}
}

func TestRecoveryCodesThatAreLeft(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		left int
		want string
	}{
		"many": {left: 9, want: "9 of your recovery codes are left."},
		"one":  {left: 1, want: "One recovery code is left."},
		"none": {left: 0, want: "It was the last one."},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := example(portal.MailRecoveryUsed)
			m.Data.Left = test.left
			if text := words(render(t, m).Text); !strings.Contains(text, test.want) {
				t.Errorf("no %q in:\n%s", test.want, text)
			}
		})
	}
}

func TestWhatIsShownOfSomebodysWords(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ name, want string }{
		"as it is":                     {name: "laptop", want: "laptop"},
		"nothing":                      {name: " ", want: "not known"},
		"one line of many":             {name: "a\r\nBcc: eve@example.org\n\nb", want: "a Bcc: eve@example.org b"},
		"nothing that turns text":      {name: "a\u202egpj.exe", want: "a gpj.exe"},
		"no broken UTF-8":              {name: "a\xffb", want: "a b"},
		"the beginning of a long text": {name: strings.Repeat("ä", 200), want: strings.Repeat("ä", 99) + "…"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := example(portal.MailTokenCreated)
			m.Data.Name = test.name
			if text := render(t, m).Text; !strings.Contains(text, "  Name:  "+test.want+"\n") {
				t.Errorf("no %q in:\n%s", test.want, text)
			}
		})
	}
}

func TestWhatIsSaidOfACountry(t *testing.T) {
	t.Parallel()
	tests := map[string]string{"NZ": "New Zealand", "DE": "Germany", "ZZ": "not known", "": "not known", "<b>": "not known", "419": "not known"}
	for code, want := range tests {
		m := example(portal.MailNewDevice)
		m.Data.Country = code
		if text := render(t, m).Text; !strings.Contains(text, "  Country:  "+want+"\n") {
			t.Errorf("%q: no %q in:\n%s", code, want, text)
		}
	}
}

func TestWhatCannotBeAMail(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*portal.Mail){
		"a kind that nobody knows":           func(m *portal.Mail) { m.Kind = "newsletter" },
		"no recipient":                       func(m *portal.Mail) { m.To = "" },
		"two recipients":                     func(m *portal.Mail) { m.To = "a@example.org, b@example.org" },
		"a recipient with a header":          func(m *portal.Mail) { m.To = "a@example.org\r\nBcc: b@example.org" },
		"a recipient with a name":            func(m *portal.Mail) { m.To = "Ada <a@example.org>" },
		"a recipient with space around":      func(m *portal.Mail) { m.To = " a@example.org" },
		"no ID":                              func(m *portal.Mail) { m.ID = "" },
		"an ID with a header":                func(m *portal.Mail) { m.ID = "a>\r\nBcc: b" },
		"no link where one is needed":        func(m *portal.Mail) { m.Data.Link = "" },
		"a link to somewhere else":           func(m *portal.Mail) { m.Data.Link = "https://example.org/" },
		"a link to another host":             func(m *portal.Mail) { m.Data.Link = "//example.org/" },
		"a link with a backslash":            func(m *portal.Mail) { m.Data.Link = `/\example.org/` },
		"a link that changes the host":       func(m *portal.Mail) { m.Data.Link = ".example.org/" },
		"a link that makes ours a user":      func(m *portal.Mail) { m.Data.Link = "@example.org/" },
		"a link with a line break":           func(m *portal.Mail) { m.Data.Link = "/verify\r\nhttps://example.org" },
		"a link that is not as in a browser": func(m *portal.Mail) { m.Data.Link = "/verify?token=<b>" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := example(portal.MailVerify)
			change(&m)
			message, err := mail.Render(options(), m)
			if err == nil {
				t.Fatalf("made %+v", message)
			}
			for _, secret := range []string{"example", "token", "Bcc"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error tells of the data: %v", err)
				}
			}
		})
	}
}

// FuzzHeaders holds that nothing in a row of the outbox makes a header, a recipient or a
// part of its own.
func FuzzHeaders(f *testing.F) {
	f.Add("ada@example.org", "abc", "/verify?token=abc", "Firefox", "DE", "laptop", uint8(0))
	f.Add("ada@example.org\r\nBcc: eve@example.org", "abc>\r\nX: y", "/\r\nX: y", "a\r\n\r\nb", "DE\r\n", "--lethe-abc\r\n", uint8(8))
	f.Add("\"a,b\"@example.org", "abc", "/a", "--lethe-abc--", "ZZ", "=?utf-8?q?=0D=0ABcc:_eve?=", uint8(10))
	f.Fuzz(func(t *testing.T, to, id, link, browser, country, name string, kind uint8) {
		kinds := portal.MailKinds()
		m := example(kinds[int(kind)%len(kinds)])
		m.To, m.ID = portal.Email(to), portal.MailID(id)
		m.Data.Link, m.Data.Browser, m.Data.Country, m.Data.Name, m.Data.Text = link, browser, country, name, name
		message, err := mail.Render(options(), m)
		if err != nil {
			return
		}
		wire, err := mail.MIME(message)
		if err != nil {
			return
		}
		checkWire(t, wire, m, message)
	})
}

// checkWire reads a mail back and compares it with what was to be sent.
func checkWire(t *testing.T, wire []byte, m portal.Mail, message mail.Message) {
	t.Helper()
	read, err := netmail.ReadMessage(bytes.NewReader(wire))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, values := range read.Header {
		names = append(names, name)
		if len(values) != 1 {
			t.Errorf("%s stands there %d times", name, len(values))
		}
	}
	slices.Sort(names)
	want := []string{
		"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Reply-To", "Subject", "To", "X-Auto-Response-Suppress",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	to, err := read.Header.AddressList("To")
	if err != nil || len(to) != 1 || to[0].Address != string(m.To) {
		t.Errorf("it goes to %v (%v), want %q", to, err, m.To)
	}
	_, parameters, err := mime.ParseMediaType(read.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	got := parts(t, multipart.NewReader(read.Body, parameters["boundary"]))
	if diff := cmp.Diff([]string{message.Text, message.HTML}, got); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
}

func parts(t *testing.T, reader *multipart.Reader) []string {
	t.Helper()
	var texts []string
	for {
		part, err := reader.NextRawPart()
		if err == io.EOF { //nolint:errorlint // It is documented to be just that.
			return texts
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, strings.ReplaceAll(string(text), "\r\n", "\n"))
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*mail.Options){
		"no sender":                     func(o *mail.Options) { o.From.Address = "" },
		"a sender that is no address":   func(o *mail.Options) { o.From.Address = "portal" },
		"a sender's name with a header": func(o *mail.Options) { o.From.Name = "a\r\nBcc: b@example.org" },
		"a service with a header":       func(o *mail.Options) { o.Service = "a\nb" },
		"answers to no address":         func(o *mail.Options) { o.ReplyTo = "help" },
		"no origin":                     func(o *mail.Options) { o.Origin = "" },
		"an origin in the clear":        func(o *mail.Options) { o.Origin = "http://portal.example.org" },
		"an origin with a path":         func(o *mail.Options) { o.Origin = "https://portal.example.org/a" },
		"an origin with a slash":        func(o *mail.Options) { o.Origin = "https://portal.example.org/" },
		"an origin with a user":         func(o *mail.Options) { o.Origin = "https://a@portal.example.org" },
		"an origin with a query":        func(o *mail.Options) { o.Origin = "https://portal.example.org?a" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options()
			change(&o)
			if _, err := mail.New(mail.Dependencies{}, o); err == nil {
				t.Errorf("took %+v", o)
			}
		})
	}
	if _, err := mail.New(mail.Dependencies{}, options()); err != nil {
		t.Errorf("refused what is right: %v", err)
	}
}
