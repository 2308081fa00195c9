package preferences_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/preferences"
)

// person is somebody who is in the store and signed in.
func person(t *testing.T, store portal.Store) portal.Principal {
	t.Helper()
	account := portaltest.Account()
	if err := store.Write(t.Context(), func(ctx context.Context, tx portal.Tx) error { return tx.CreateAccount(ctx, account) }); err != nil {
		t.Fatal(err)
	}
	return portal.Principal{Account: account, Session: &portal.Session{Account: account.ID}}
}

func service(t *testing.T) (*preferences.Service, portal.Store) {
	t.Helper()
	store := portaltest.Store(t)
	s, err := preferences.New(store)
	if err != nil {
		t.Fatal(err)
	}
	return s, store
}

func TestOptionalMailsAreWantedUntilSomebodySaysOtherwise(t *testing.T) {
	t.Parallel()
	s, store := service(t)
	ada, bob := person(t, store), person(t, store)
	wants := func(p portal.Principal, want ...portal.MailKind) {
		t.Helper()
		got, err := s.WantedMails(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]portal.MailKind{}, want...), got); diff != "" {
			t.Errorf("wanted (-want +got):\n%s", diff)
		}
	}
	set := func(p portal.Principal, wanted ...portal.MailKind) {
		t.Helper()
		if err := s.SetWantedMails(t.Context(), p, wanted); err != nil {
			t.Fatal(err)
		}
	}
	wants(ada, portal.OptionalMails()...)
	set(ada, portal.MailDatasetExpires, portal.MailRunFailed, portal.MailRunFailed)
	wants(ada, portal.MailRunFailed, portal.MailDatasetExpires)
	wants(bob, portal.OptionalMails()...)
	set(ada)
	wants(ada)
	set(ada, portal.OptionalMails()...)
	wants(ada, portal.OptionalMails()...)
}

func TestWhatCannotBeChosen(t *testing.T) {
	t.Parallel()
	s, store := service(t)
	ada := person(t, store)
	byToken := ada
	byToken.Session, byToken.Token = nil, &portal.APIToken{Scopes: portal.Scopes()}
	if err := s.SetWantedMails(t.Context(), ada, nil); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		who    portal.Principal
		wanted []portal.MailKind
		want   portal.Kind
	}{
		"a kind about security":       {ada, []portal.MailKind{portal.MailRunFailed, portal.MailPasswordChanged}, portal.KindInvalid},
		"a kind that always comes":    {ada, []portal.MailKind{portal.MailDatasetErased}, portal.KindInvalid},
		"a kind that there is not":    {ada, []portal.MailKind{"newsletter"}, portal.KindInvalid},
		"anything, with an API token": {byToken, nil, portal.KindForbidden},
	} {
		if err := s.SetWantedMails(t.Context(), test.who, test.wanted); err == nil || portal.KindOf(err) != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.WantedMails(t.Context(), byToken); portal.KindOf(err) != portal.KindForbidden {
		t.Errorf("looked at with an API token: %v", err)
	}
	got, err := s.WantedMails(t.Context(), ada)
	if err != nil || len(got) > 0 {
		t.Errorf("after all that: %v, %v", got, err)
	}
}

// deadStore does not answer.
type deadStore struct{ portal.Store }

var errDead = errors.New("dead")

func (deadStore) Read(context.Context, func(context.Context, portal.Tx) error) error { return errDead }

func (deadStore) Write(context.Context, func(context.Context, portal.Tx) error) error { return errDead }

func TestAStoreThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	if _, err := preferences.New(nil); err == nil {
		t.Error("made without a store")
	}
	s, err := preferences.New(deadStore{})
	if err != nil {
		t.Fatal(err)
	}
	who := portal.Principal{Session: &portal.Session{}}
	if _, err := s.WantedMails(t.Context(), who); !errors.Is(err, errDead) {
		t.Errorf("read: %v", err)
	}
	if err := s.SetWantedMails(t.Context(), who, nil); !errors.Is(err, errDead) {
		t.Errorf("write: %v", err)
	}
}
