package main

import (
	"context"
	"math"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/geo"
)

// From when on /readyz warns.
const (
	mailLate        = 15 * time.Minute
	purgeLate       = 24 * time.Hour
	certificateEnds = 14 * 24 * time.Hour
	// lookLimit bounds a look into the store for a metric.
	lookLimit = 5 * time.Second
)

// ping is for readiness; its error goes to the log here.
func (s *site) ping(ctx context.Context) error {
	err := s.store.Ping(ctx)
	if err != nil {
		s.log.Warn("The store does not answer", "cause", err.Error())
	}
	return err
}

// warnings are what is wrong and no reason to send people elsewhere.
func (s *site) warnings(ctx context.Context) []string {
	var words []string
	warn := func(is bool, text string) {
		if is {
			words = append(words, text)
		}
	}
	now := time.Now()
	late, err := s.mail.Late(ctx)
	warn(err == nil && late > mailLate, "mails wait for longer than "+mailLate.String())
	late, err = s.sweeper.Late(ctx)
	warn(err == nil && late > purgeLate, "security events are kept for longer than they may be")
	age, known := s.geo.Age(now)
	warn(known && age > geo.MaxAge, "the file of countries is older than "+geo.MaxAge.String())
	warn(s.certificate != nil && s.certificate.expires().Sub(now) < certificateEnds, "the certificate ends within "+certificateEnds.String())
	overdue, err := s.holdsOverdue(ctx, now)
	warn(err == nil && overdue > 0, "a hold is past its review date")
	if err := s.training.away(ctx); err != nil {
		warn(true, err.Error())
	}
	return words
}

// holdsOverdue counts the holds that somebody should have looked at.
func (s *site) holdsOverdue(ctx context.Context, now time.Time) (int, error) {
	var overdue int
	err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		holds, err := tx.AllHolds(ctx)
		if err != nil {
			return err
		}
		overdue = 0
		for _, hold := range holds {
			if hold.ReleasedAt.IsZero() && now.After(hold.ReviewAt) {
				overdue++
			}
		}
		return nil
	})
	return overdue, err
}

// measure registers what is only known when it is asked for. What can't be found out is
// NaN, so that an alarm on it has something to see.
func (s *site) measure() {
	if s.certificate != nil {
		s.metrics.gauge("lethe_portal_certificate_expiry_timestamp_seconds", "When the certificate ends.", func() float64 {
			return float64(s.certificate.expires().Unix())
		})
	}
	s.metrics.gauge("lethe_portal_holds_overdue", "Holds past their review date.", func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), lookLimit)
		defer cancel()
		overdue, err := s.holdsOverdue(ctx, time.Now())
		if err != nil {
			return math.NaN()
		}
		return float64(overdue)
	})
	s.metrics.gauge("lethe_portal_mail_late_seconds", "For how long the oldest mail has been due; 0: none is.", s.seconds(s.mail.Late))
	s.metrics.gauge("lethe_portal_purge_late_seconds", "For how long the oldest security event without a hold should have been gone; 0: none should.", s.seconds(s.sweeper.Late))
}

func (s *site) seconds(look func(context.Context) (time.Duration, error)) func() float64 {
	return func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), lookLimit)
		defer cancel()
		late, err := look(ctx)
		if err != nil {
			return math.NaN()
		}
		return late.Seconds()
	}
}
