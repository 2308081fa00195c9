package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/hack/mailsink"
	"github.com/lethe-dev/lethe/hack/portaldemo/stand"
)

// proveLimit bounds the look at everything.
const proveLimit = time.Minute

// prove does what the demo tells a person to do, as far as that needs no browser.
func prove(ctx context.Context, s *stand.Stand, adminLink string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, proveLimit)
	defer cancel()
	client := s.Client()
	const somebody = "somebody@people.example"
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"the first page answers over TLS", func() error { return answers(ctx, client, s.URL+"/", "<h1") }},
		{"the page of the mails answers", func() error { return answers(ctx, client, s.Sink.URL()+"/", "") }},
		{"metrics answer", func() error { return answers(ctx, client, s.OpsURL+"/metrics", "lethe_portal_http_requests_total") }},
		{"the administrator's link opens", func() error { return answers(ctx, client, adminLink, "<form") }},
		{"signing up sends a mail, and its link opens", func() error { return signUp(ctx, client, s, somebody) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		fmt.Fprintln(out, "  seen:", step.what)
	}
	return nil
}

// answers fetches a page that has to hold some words.
func answers(ctx context.Context, client *http.Client, page, words string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || !strings.Contains(string(body), words) {
		return fmt.Errorf("the answer is %d without %q", response.StatusCode, words)
	}
	return nil
}

func signUp(ctx context.Context, client *http.Client, s *stand.Stand, email string) error {
	form := url.Values{"email": {email}, "password": {"seven grey herons over the water"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/sign-up", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Origin", s.URL)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusSeeOther {
		return fmt.Errorf("the form is answered %d", response.StatusCode)
	}
	mail, err := s.Sink.Wait(ctx, func(m mailsink.Mail) bool { return slices.Contains(m.To, email) })
	if err != nil {
		return fmt.Errorf("no mail came: %w", err)
	}
	for _, link := range mail.Links {
		if strings.HasPrefix(link, s.URL+"/verify?") {
			return answers(ctx, client, link, "<form")
		}
	}
	return errors.New("the mail has no link to confirm the address")
}
