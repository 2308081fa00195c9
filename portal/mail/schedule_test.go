package mail_test

import (
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/mail"
)

func TestWhenAMailIsTriedAgain(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		attempts int
		past     time.Duration // since it was written
		spread   float64
		want     time.Duration // from now; 0 for never
	}{
		"after the first try":         {want: time.Minute},
		"after the second":            {attempts: 1, want: 2 * time.Minute},
		"spread by a tenth at most":   {attempts: 1, spread: 1, want: 2*time.Minute + 12*time.Second},
		"after many":                  {attempts: 12, want: 6 * time.Hour},
		"after very many":             {attempts: 1 << 40, want: 6 * time.Hour},
		"just before the end":         {attempts: 12, past: mail.GiveUpAfter - 6*time.Hour - 1, want: 6 * time.Hour},
		"never when it would be on":   {attempts: 12, past: mail.GiveUpAfter - 6*time.Hour},
		"never when it would be past": {attempts: 12, past: mail.GiveUpAfter},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := example(portal.MailPasswordChanged)
			m.Attempts = test.attempts
			now := m.CreatedAt.Add(test.past)
			got := mail.Next(m, now, test.spread)
			if test.want == 0 {
				if !got.IsZero() {
					t.Errorf("tried again at %v, want never", got)
				}
				return
			}
			if got.Sub(now) != test.want {
				t.Errorf("tried again after %v, want %v", got.Sub(now), test.want)
			}
		})
	}
}

func TestUntilWhenAMailIsOfUse(t *testing.T) {
	t.Parallel()
	tests := map[portal.MailKind]time.Duration{
		portal.MailVerify:          portal.PurposeVerify.Life(),
		portal.MailResetPassword:   portal.PurposeReset.Life(),
		portal.MailConfirmNewEmail: portal.PurposeNewEmail.Life(),
		portal.MailConfirmDevice:   portal.PurposeDevice.Life(),
		portal.MailEmailChanged:    mail.GiveUpAfter,
		portal.MailNewDevice:       mail.GiveUpAfter,
	}
	for kind, want := range tests {
		if got := mail.Deadline(example(kind)).Sub(noon); got != want {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
}
