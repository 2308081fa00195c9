package mail

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"

	gomail "github.com/wneessen/go-mail"
)

// Stage is how far a delivery got.
type Stage string

// Stages.
const (
	// StageConnect: no connection, no encryption, or no signing in.
	StageConnect Stage = "connect"
	// StageSender: the server does not want mail of this sender.
	StageSender Stage = "sender"
	// StageRecipient: the server does not want mail for this recipient.
	StageRecipient Stage = "recipient"
	// StageData: the server does not want this mail, or broke off.
	StageData Stage = "data"
)

// Refusal is why a mail was not taken, without anything that the server said in words:
// servers repeat addresses.
type Refusal struct {
	Stage Stage
	// Code is the server's (RFC 5321, 4.2.3); 0 when it gave none.
	Code int
	// Enhanced is its enhanced code (RFC 3463), such as 5.1.1; "" when it gave none.
	Enhanced string
	// Reason is ours, for who runs the portal; may be "".
	Reason string
}

// Error names no address.
func (r *Refusal) Error() string {
	words := []string{"the mail was not taken (" + string(r.Stage) + ")"}
	if r.Code != 0 {
		words = append(words, strings.TrimSpace(fmt.Sprintf("the server answered %d %s", r.Code, r.Enhanced)))
	}
	if r.Reason != "" {
		words = append(words, r.Reason)
	}
	return strings.Join(words, ": ")
}

// NoSuchMailbox reports whether trying again is no use, and would only make us a
// nuisance. Servers use 550 for much that can be mended on our side ("relaying denied"),
// so only the codes for bad destination addresses and closed mailboxes count (RFC 3463,
// 3.2 and 3.3; RFC 7505 for domains that take no mail).
func (r *Refusal) NoSuchMailbox() bool {
	hopeless := []string{"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"}
	return r.Stage == StageRecipient && r.Code/100 == 5 && slices.Contains(hopeless, r.Enhanced)
}

// refusedToConnect is for what happens before the server hears of an address.
func refusedToConnect(ctx context.Context, err error) *Refusal {
	r := &Refusal{Stage: StageConnect}
	var answer *textproto.Error
	var garbage textproto.ProtocolError
	switch {
	case ctx.Err() != nil:
		r.Reason = "it took too long"
	case errors.As(err, &answer):
		r.Code = answer.Code
	case errors.As(err, &garbage):
		r.Reason = "the answer is not SMTP"
	default:
		r.Reason = err.Error() // of the network, of TLS, or of the library: nobody's address
	}
	return r
}

// refusedToTake is for what happens after that.
func refusedToTake(ctx context.Context, err error) *Refusal {
	r := &Refusal{Stage: StageData}
	var failed *gomail.SendError
	if errors.As(err, &failed) {
		r.Code, r.Enhanced = failed.ErrorCode(), failed.EnhancedStatusCode()
		switch failed.Reason {
		case gomail.ErrGetSender, gomail.ErrSMTPMailFrom:
			r.Stage = StageSender
		case gomail.ErrGetRcpts, gomail.ErrSMTPRcptTo:
			r.Stage = StageRecipient
		default:
		}
	}
	switch {
	case ctx.Err() != nil:
		r.Reason = "it took too long"
	case r.Code == 0:
		r.Reason = "the server broke off"
	}
	return r
}
