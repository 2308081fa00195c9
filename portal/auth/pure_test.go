package auth

import (
	"encoding/base32"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

func TestAcceptable(t *testing.T) {
	t.Parallel()
	s := &Service{issuer: "Lethe Portal"}
	tests := map[string]struct {
		password string
		want     string // part of the reason; "" when accepted
	}{
		"four random words":                          {"harbor violin plastic tundra", ""},
		"random letters and digits":                  {"k7Qzp0Vx2mJw9Lr", ""},
		"marks only, all different":                  {`;>^~|{]?+:,.<}[_`, ""},
		"random letters with a short word in them":   {"xkqdayvbtrwzjfph", ""},
		"fourteen characters":                        {"k7Qzp0Vx2mJw9L", "has 14 characters"},
		"fifteen code points of four bytes":          {"🌊🌲🔥🌙🪐🐋🎻🧭🗝🪁🌵🥁🧊🪴🍋", ""},
		"fourteen code points of many bytes":         {"🌊🌲🔥🌙🪐🐋🎻🧭🗝🪁🌵🥁🧊🪴", "has 14 characters"},
		"exactly 256 bytes":                          {strings.Repeat("k7Qzp0Vx", 31) + "0123abcd", ""},
		"257 bytes":                                  {strings.Repeat("k7Qzp0Vx", 31) + "0123abcde", "too long"},
		"not text":                                   {"k7Qzp0Vx2mJw9Lr\xff", "not text"},
		"nothing":                                    {"", "has 0 characters"},
		"one character again and again":              {"aaaaaaaaaaaaaaaaaaaa", "repeats"},
		"a word again and again":                     {"qzvkqzvkqzvkqzvkqz", "repeats"},
		"a few characters in some order":             {"abababbabaabbabab", "repeats"},
		"digits in a row":                            {"123456789012345", "common"},
		"digits in a row with no end":                {"12345678987654321", "common"},
		"keys in a row":                              {"qwertyuiopasdfghjkl", "common"},
		"keys in a column":                           {"1qaz2wsx3edc4rfv", "common"},
		"keys in a row, backwards":                   {"poiuytrewqlkjhgfdsa", "common"},
		"a common word with digits":                  {"password1234567", "common"},
		"a common word with letters as digits":       {"P4$$w0rdP@ssw0rd!", "common"},
		"a common word and a year":                   {"Manchester-2019!!!", "common"},
		"two names and a year":                       {"Michael+Jessica1984", "common"},
		"a common sentence":                          {"this is my password", "common"},
		"the well-known one":                         {"correct horse battery staple", "common"},
		"the person's own address":                   {"river.person.2024!", "your address"},
		"the person's domain":                        {"example-river-2024", "your address"},
		"the service's name":                         {"LethePortal2026!!", "common"},
		"a long one that holds a common word":        {"password of a heron that eats thistles", ""},
		"the same in another form of Unicode, short": {"ﬁﬁﬁﬁﬁﬁﬁ", "has 14 characters"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := s.acceptable(tt.password, "river.person@example.org")
			if tt.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			var e *portal.Error
			if !errors.As(err, &e) || e.Field != "password" || !strings.Contains(e.Message, tt.want) {
				t.Errorf("got %v, want a reason with %q", err, tt.want)
			}
			if len(tt.password) > 6 && e != nil && strings.Contains(e.Message, tt.password) {
				t.Error("the reason holds the password")
			}
		})
	}
}

// TestBlockListIsLongEnough holds the block-list to ASVS 5.0, 6.2.4: 3,000 passwords that
// the other rules let pass.
func TestBlockListIsLongEnough(t *testing.T) {
	t.Parallel()
	words := strings.Fields(common)
	refused := 0
	for i, w := range words {
		for _, tail := range []string{"1234567890", "123456789!", "@2024", "!!!2025"} {
			p := w + words[(i*7+13)%len(words)] + tail
			if utf8.RuneCountInString(p) < minPassword || distinct([]rune(p)) < minDistinct {
				continue
			}
			if guessable(p, nil) == "" {
				t.Errorf("%q is accepted", p)
			}
			refused++
		}
	}
	if refused < 3000 {
		t.Errorf("only %d were tried", refused)
	}
}

// TestBlockListSparesRandomPasswords: what a password manager makes is never refused.
func TestBlockListSparesRandomPasswords(t *testing.T) {
	t.Parallel()
	random := portaltest.Random(7)
	for range 3000 {
		p := portal.NewID[string](random)[:16]
		if reason := guessable(p, contextWords("Lethe", "river.person@example.org")); reason != "" {
			t.Errorf("%q: %s", p, reason)
		}
	}
}

func TestNormalFormIsTheSame(t *testing.T) {
	t.Parallel()
	composed, ok1 := normal("Flußuferläufer-Åland")
	decomposed, ok2 := normal("Flußuferla\u0308ufer-A\u030aland")
	if !ok1 || !ok2 || composed != decomposed {
		t.Errorf("%q and %q differ", composed, decomposed)
	}
}

func TestParseCode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text, want string
		form       codeForm
	}{
		"six digits":                       {"012345", "012345", formTOTP},
		"with a blank as apps show it":     {" 012 345 ", "012345", formTOTP},
		"five digits":                      {"12345", "", formNone},
		"seven digits":                     {"1234567", "", formNone},
		"digits of another script":         {"１２３４５６", "", formNone},
		"a sign":                           {"+12345", "", formNone},
		"nothing":                          {"", "", formNone},
		"a recovery code":                  {"abcd-efgh-ijkm-npqr-stuvw-xyz23", "abcdefghijkmnpqrstuvwxyz23", formRecovery},
		"shouted, with blanks":             {"ABCD EFGH IJKM NPQR STUVW XYZ23", "abcdefghijkmnpqrstuvwxyz23", formRecovery},
		"l and 1 for i":                    {"abcd-efgh-ljkm-npqr-stuvw-xyz21", "abcdefghijkmnpqrstuvwxyz2i", formRecovery},
		"too short for a recovery code":    {"abcd-efgh", "", formNone},
		"a character that no code has":     {"abcd-efgh-ojkm-npqr-stuvw-xyz23", "", formNone},
		"far too long":                     {strings.Repeat("1 ", 3000), "", formNone},
		"26 bytes of something else":       {"ééééééééééééé", "", formNone},
		"six digits between many blanks":   {strings.Repeat(" ", 100) + "123456", "", formNone},
		"a recovery code of digits in all": {strings.Repeat("2", 26), strings.Repeat("2", 26), formRecovery},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, form := parseCode(tt.text)
			if got != tt.want || form != tt.form {
				t.Errorf("got %q %d, want %q %d", got, form, tt.want, tt.form)
			}
		})
	}
}

func TestRecoveryCodesAreReadBack(t *testing.T) {
	t.Parallel()
	codes, digests := newRecoveryCodes(portaltest.Random(3))
	if len(codes) != portal.RecoveryCodes {
		t.Fatalf("%d codes", len(codes))
	}
	seen := map[portal.Digest]bool{}
	for i, c := range codes {
		code, form := parseCode(c)
		if form != formRecovery || portal.DigestOf(code) != digests[i] {
			t.Errorf("%q is not read back", c)
		}
		seen[digests[i]] = true
	}
	if len(seen) != portal.RecoveryCodes {
		t.Errorf("only %d different codes", len(seen))
	}
}

// seedOf is a seed for tests, in base32.
func seedOf(text string) string { return base32.StdEncoding.EncodeToString([]byte(text)) }

func codeAt(t testing.TB, seed string, step int64) string {
	t.Helper()
	code, err := hotp.GenerateCodeCustom(seed, uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		t.Fatalf("make a code: %v", err)
	}
	return code
}

func TestFindStep(t *testing.T) {
	t.Parallel()
	seed := seedOf("12345678901234567890") // RFC 6238, appendix B
	now := time.Unix(1111111109, 0)        // step 37037036, code 07081804
	const step = 37037036
	tests := map[string]struct {
		code         string
		last         int64
		want         int64
		match, fresh bool
	}{
		"the code of now, as in the RFC":  {"081804", 0, step, true, true},
		"the one before":                  {codeAt(t, seed, step-1), 0, step - 1, true, true},
		"the one after":                   {codeAt(t, seed, step+1), 0, step + 1, true, true},
		"two before":                      {codeAt(t, seed, step-2), 0, 0, false, false},
		"two after":                       {codeAt(t, seed, step+2), 0, 0, false, false},
		"the same again":                  {"081804", step, 0, true, false},
		"an older one after a newer":      {codeAt(t, seed, step-1), step, 0, true, false},
		"a newer one after an older":      {codeAt(t, seed, step+1), step, step + 1, true, true},
		"a wrong one":                     {"000000", 0, 0, false, false},
		"none":                            {"", 0, 0, false, false},
		"the code with a digit before it": {"7081804", 0, 0, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, match, fresh, err := findStep(seed, tt.code, now, tt.last)
			if got != tt.want || match != tt.match || fresh != tt.fresh || (err != nil && len(tt.code) == totpDigits) {
				t.Errorf("got %d %v %v %v", got, match, fresh, err)
			}
		})
	}
}

// colliding finds a step whose code is that of the next one too, as happens once in a
// million steps.
func colliding(t testing.TB, seed string, from int64) int64 {
	t.Helper()
	before := codeAt(t, seed, from)
	for s := from + 1; s < from+20_000_000; s++ {
		code := codeAt(t, seed, s)
		if code == before {
			return s - 1
		}
		before = code
	}
	t.Fatal("no two neighbours have the same code")
	return 0
}

// TestCollidingStepsAreOneCode: a code of two neighbouring steps counts as the newer, so
// that it is not good a second time.
func TestCollidingStepsAreOneCode(t *testing.T) {
	t.Parallel()
	seed := seedOf(collidingSeed)
	if codeAt(t, seed, collidingStep) != codeAt(t, seed, collidingStep+1) {
		t.Fatalf("the codes differ; the next that don't are at %d", colliding(t, seed, stepOf(portaltest.Start)))
	}
	code := codeAt(t, seed, collidingStep)
	for _, at := range []int64{collidingStep, collidingStep + 1} {
		now := time.Unix(at*30, 0)
		step, _, fresh, err := findStep(seed, code, now, 0)
		if err != nil || !fresh || step != collidingStep+1 {
			t.Fatalf("got step %d %v %v", step, fresh, err)
		}
		if _, match, fresh, err := findStep(seed, code, now, step); err != nil || fresh || !match {
			t.Errorf("the code is good again: %v %v", fresh, err)
		}
	}
}

func TestPHC(t *testing.T) {
	t.Parallel()
	good := phc{Argon2: Argon2{64 << 10, 3, 1}, keyID: "k1", salt: make([]byte, saltBytes), hash: make([]byte, hashBytes)}
	text := good.String()
	tests := map[string]struct {
		text string
		ok   bool
	}{
		"what String makes":     {text, true},
		"nothing":               {"", false},
		"another algorithm":     {strings.Replace(text, "argon2id", "argon2i", 1), false},
		"another version":       {strings.Replace(text, "v=19", "v=16", 1), false},
		"all memory there is":   {strings.Replace(text, "m=65536", "m=4294967295", 1), false},
		"hardly any memory":     {strings.Replace(text, "m=65536", "m=8", 1), false},
		"more than 32 bits":     {strings.Replace(text, "m=65536", "m=4295032832", 1), false},
		"no threads":            {strings.Replace(text, "p=1", "p=0", 1), false},
		"no pepper":             {strings.Replace(text, ",keyid=azE", "", 1), false},
		"a number with zeros":   {strings.Replace(text, "t=3", "t=03", 1), false},
		"a short salt":          {strings.Replace(text, "$AAAA", "$AA", 1), false},
		"something behind":      {text + "$", false},
		"something before":      {"x" + text, false},
		"the test's dummy hash": {"$argon2id$v=19$m=19456,t=2,p=1,keyid=azE$none$none", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parsePHC(tt.text)
			if (err == nil) != tt.ok {
				t.Fatalf("got %v", err)
			}
			if tt.ok {
				if diff := cmp.Diff(text, got.String()); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, l := range []limit{passwordUnknown, passwordKnown, passwordNetwork, codeUnknown, codeKnown, stepUp, mailAddress, mailNetwork, signUpNetwork, onceMinute, onceHour} {
		if l.Forget > portal.ThrottleRetention {
			t.Errorf("%s remembers for longer than counts are kept", l.name)
		}
		if l.Max > l.Forget {
			t.Errorf("%s waits for longer than it remembers", l.name)
		}
	}
	for _, p := range []portal.Purpose{portal.PurposeVerify, portal.PurposeReset, portal.PurposeDevice, portal.PurposeNewEmail} {
		if mailAddress.Max >= p.Life() {
			t.Errorf("while a mail to %s is refused, the link of the one before can expire", p)
		}
	}
	start := portaltest.Start
	hundred := portal.Throttle{Failures: stopAfter, FirstAt: start, LastAt: start}
	if got := passwordUnknown.wait(hundred, start.Add(48*time.Hour)); got < 27*24*time.Hour {
		t.Errorf("after %d failures the wait is %s", stopAfter, got)
	}
}

func TestIn(t *testing.T) {
	t.Parallel()
	for wait, want := range map[time.Duration]string{
		time.Second: "in a minute", time.Minute: "in a minute", 61 * time.Second: "in 2 minutes",
		time.Hour: "in 60 minutes", 61 * time.Minute: "in 2 hours", 30 * 24 * time.Hour: "in 30 days",
	} {
		if got := in(wait); got != want {
			t.Errorf("%s: got %q, want %q", wait, got, want)
		}
	}
}

func FuzzParseCode(f *testing.F) {
	for _, seed := range []string{"", "012 345", "abcd-efgh-ijkm-npqr-stuvw-xyz23", "l1", "\xff", "１２３４５６"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, form := parseCode(text)
		again, same := parseCode(code)
		switch {
		case form == formNone && code != "":
			t.Errorf("no code, but %q", code)
		case form != formNone && (again != code || same != form):
			t.Errorf("%q is read as %q", code, again)
		case form == formTOTP && len(code) != totpDigits, form == formRecovery && len(code) != recoveryLength:
			t.Errorf("%q has the wrong length", code)
		}
	})
}

func FuzzParsePHC(f *testing.F) {
	f.Add(phc{Argon2: Argon2{64 << 10, 3, 1}, keyID: "k1", salt: make([]byte, saltBytes), hash: make([]byte, hashBytes)}.String())
	f.Add("$argon2id$v=19$m=19456,t=2,p=1,keyid=azE$none$none")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePHC(text)
		if err != nil {
			return
		}
		if p.String() != text || p.check() != nil || len(p.salt) != saltBytes || len(p.hash) != hashBytes {
			t.Errorf("%q is taken for %q", text, p)
		}
	})
}

func FuzzGuessable(f *testing.F) {
	for _, seed := range []string{"", "password1234567", "P4$$w0rd🌊", "\xff\xfe", "aaaaaaaaaaaaaaaaaaaaaaaa"} {
		f.Add(seed)
	}
	words := contextWords("Lethe", "river.person@example.org")
	f.Fuzz(func(t *testing.T, text string) {
		p, ok := normal(text)
		if !ok {
			return
		}
		if len(p) > maxPassword || !utf8.ValidString(p) {
			t.Errorf("the normal form of %q is %q", text, p)
		}
		if again, ok := normal(p); !ok || again != p {
			t.Errorf("%q has two normal forms", text)
		}
		guessable(p, words)
	})
}

// A seed and the step at which its code is that of the next step too.
const (
	collidingSeed = "lethe-collides-here!"
	collidingStep = 59360739
)
