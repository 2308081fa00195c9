package review_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/review"
)

func TestImpossibleTravel(t *testing.T) {
	t.Parallel()
	type signIn struct {
		after   time.Duration
		country string
		kind    portal.EventKind
	}
	in := func(after time.Duration, country string) signIn { return signIn{after, country, portal.EventSignIn} }
	for name, test := range map[string]struct {
		signIns []signIn
		want    [][2]string
	}{
		"Germany, an hour later Brazil":             {[]signIn{in(0, "DE"), in(time.Hour, "BR")}, [][2]string{{"DE", "BR"}}},
		"Germany, a day later Brazil":               {[]signIn{in(0, "DE"), in(24*time.Hour, "BR")}, nil},
		"Germany, a minute later France":            {[]signIn{in(0, "DE"), in(time.Minute, "FR")}, nil},
		"at the border of the USA and Canada":       {[]signIn{in(0, "US"), in(time.Minute, "CA")}, nil},
		"Australia and Norway at once":              {[]signIn{in(0, "AU"), in(0, "NO")}, [][2]string{{"AU", "NO"}}},
		"Japan, five hours later the USA":           {[]signIn{in(0, "JP"), in(5*time.Hour, "US")}, [][2]string{{"JP", "US"}}},
		"Japan, twelve hours later the USA":         {[]signIn{in(0, "JP"), in(12*time.Hour, "US")}, nil},
		"the same country":                          {[]signIn{in(0, "DE"), in(time.Second, "DE")}, nil},
		"unknown in between does not hide it":       {[]signIn{in(0, "DE"), in(time.Minute, "ZZ"), in(time.Hour, "BR")}, [][2]string{{"DE", "BR"}}},
		"a country that there is not":               {[]signIn{in(0, "DE"), in(time.Minute, "XX")}, nil},
		"the second failed":                         {[]signIn{in(0, "DE"), {time.Minute, "BR", portal.EventSignInFailed}}, nil},
		"there and back again":                      {[]signIn{in(0, "DE"), in(time.Minute, "BR"), in(time.Minute, "DE")}, [][2]string{{"BR", "DE"}, {"DE", "BR"}}},
		"across the date line, neighbours in ocean": {[]signIn{in(0, "WS"), in(2*time.Hour, "FJ")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			p := b.staff(t, portal.RoleSecurity)
			b.clock.Advance(100 * 24 * time.Hour) // away from the bench's own sign-in
			from := b.clock.Now()
			for _, s := range test.signIns {
				b.clock.Advance(s.after)
				b.event(t, s.kind, b.person.ID, "198.51.100.7", s.country)
			}
			flags, err := b.service.Flags(t.Context(), p, from, from.Add(48*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			var got [][2]string
			for _, f := range flags {
				got = append(got, f.Countries)
				if f.Kind != portal.FlagImpossibleTravel || f.Account != b.person.ID || f.To.Before(f.From) {
					t.Errorf("the flag is %+v", f)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("flags (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFlagsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.staff(t, portal.RoleSecurity)
	from := b.clock.Now()
	var last portal.Event
	for i := range review.MaxFlags + 20 {
		last = b.event(t, portal.EventSignIn, b.person.ID, "198.51.100.7", []string{"DE", "BR"}[i%2])
	}
	flags, err := b.service.Flags(t.Context(), p, from, from.Add(time.Hour))
	if err != nil || len(flags) != review.MaxFlags || !flags[0].To.Equal(last.Time) {
		t.Errorf("%d flags, %v; want the newest %d", len(flags), err, review.MaxFlags)
	}
}

func TestTravelsOfTwoAccountsAreNotMixed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.staff(t, portal.RoleSecurity)
	other := b.staff(t, portal.RoleUser)
	from := b.clock.Now()
	b.event(t, portal.EventSignIn, b.person.ID, "198.51.100.7", "DE")
	b.event(t, portal.EventSignIn, other.Account.ID, "198.51.100.8", "BR")
	flags, err := b.service.Flags(t.Context(), p, from, from.Add(time.Hour))
	if err != nil || len(flags) != 0 {
		t.Errorf("flags are %+v, %v; want none", flags, err)
	}
}

func TestCredentialStuffing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		accounts, strangers int // failures: one for each of so many accounts, and with addresses of nobody
		want                bool
	}{
		"three accounts and many strangers":   {3, 17, true},
		"twenty accounts":                     {20, 0, true},
		"nineteen failures":                   {19, 0, false},
		"a household that types badly":        {2, 30, false},
		"a hundred addresses that nobody has": {0, 100, true},
		"nothing":                             {0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			p := b.staff(t, portal.RoleSecurity)
			from := b.clock.Now()
			for range test.accounts {
				b.event(t, portal.EventSignInFailed, b.staff(t, portal.RoleUser).Account.ID, "198.51.100.7", "FR")
			}
			for i := range test.strangers {
				b.event(t, portal.EventSignInFailed, "", fmt.Sprintf("198.51.100.%d", i), "FR")
			}
			flags, err := b.service.Flags(t.Context(), p, from, from.Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if (len(flags) == 1) != test.want || len(flags) > 1 {
				t.Fatalf("flags are %+v, want one: %t", flags, test.want)
			}
			if !test.want {
				return
			}
			f := flags[0]
			if f.Kind != portal.FlagCredentialStuffing || f.Network != netip.MustParsePrefix("198.51.100.0/24") ||
				f.Failures != test.accounts+test.strangers || f.Accounts != test.accounts {
				t.Errorf("the flag is %+v", f)
			}
		})
	}
}
