// Package webhook takes webhooks: it verifies that they are the server's and fresh, and reads what they say.
package webhook

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/signature"
)

// defaultTolerance is how old a webhook may be, and how far ahead its clock.
const defaultTolerance = 5 * time.Minute

// Option is a setting of [Unwrap] and of [NewHandler].
type Option interface{ set(*settings) }

type settings struct {
	more      []string
	tolerance time.Duration
	ageless   bool
	seen      Seen
	onError   func(error)
}

type option func(*settings)

func (o option) set(s *settings) { o(s) }

func settingsOf(options []Option) settings {
	s := settings{tolerance: defaultTolerance, onError: func(error) {}}
	for _, one := range options {
		if one != nil {
			one.set(&s)
		}
	}
	return s
}

// WithSecrets takes what is signed with one of these too: the old secret and the new one, during a rotation.
func WithSecrets(more ...string) Option {
	return option(func(s *settings) { s.more = append(s.more, more...) })
}

// WithTolerance says how old a webhook may be, and how far ahead its clock; five minutes unless set.
func WithTolerance(d time.Duration) Option {
	return option(func(s *settings) { s.tolerance, s.ageless = d, false })
}

// WithoutTolerance takes webhooks of any age, also those that do not say when they were sent.
func WithoutTolerance() Option { return option(func(s *settings) { s.ageless = true }) }

// Unwrap verifies a webhook and reads it. Give it the raw body: one that was parsed and printed again is another body.
//
// It verifies by the headers of Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature), which sign the time too. X-Meetbot-Signature signs none: it
// is taken only [WithoutTolerance], otherwise a replayed old webhook could omit those headers.
//
// Its errors are of the type [*meetbot.Error]:
//   - [meetbot.ErrSignature]: it is not signed with any of the secrets, or too old. Answer 401.
//   - [meetbot.ErrDecode]: it is signed, but no event that this version can read. Answer 200, or it is sent again.
//   - [meetbot.ErrConfiguration]: a secret cannot be one (empty, without whsec_, not base64): every webhook would be refused. Answer 500.
func Unwrap(body []byte, header http.Header, secret string, options ...Option) (*meetbot.WebhookEvent, error) {
	s := settingsOf(options)
	secrets, err := signature.ParseAll(append([]string{secret}, s.more...)...)
	if err != nil {
		return nil, &meetbot.Error{Kind: meetbot.ErrConfiguration, Message: err.Error(), Err: err}
	}
	return s.unwrap(body, header, secrets, time.Now())
}

func (s *settings) unwrap(body []byte, header http.Header, secrets []signature.Secret, now time.Time) (*meetbot.WebhookEvent, error) {
	if why := s.judge(body, header, secrets, now); why != "" {
		return nil, &meetbot.Error{Kind: meetbot.ErrSignature, Message: "the webhook is not taken: " + why}
	}
	event := &meetbot.WebhookEvent{}
	if err := event.UnmarshalJSON(body); err != nil {
		return nil, &meetbot.Error{Kind: meetbot.ErrDecode, Message: fmt.Sprintf("the webhook is signed but no event that this version can read: %v: %.200q", err, body), Body: body, Err: err}
	}
	return event, nil
}

// judge says why a webhook is not taken; nothing where it is.
func (s *settings) judge(body []byte, header http.Header, secrets []signature.Secret, now time.Time) string {
	standard, plain := header.Get("webhook-signature"), header.Get("X-Meetbot-Signature")
	if standard == "" && !s.ageless {
		return "nothing in it says when it was sent; WithoutTolerance takes it all the same"
	}
	id, sent, fits := header.Get("webhook-id"), header.Get("webhook-timestamp"), false
	for _, secret := range secrets {
		// All are tried, so that the time taken does not tell which one fits.
		if standard != "" {
			fits = secret.VerifyStandard(id, sent, body, standard) || fits
		} else {
			fits = secret.Verify(body, plain) || fits
		}
	}
	if !fits {
		return "the signature is missing or not made with this secret: another secret, another body (parsed and printed again?), or not from the server"
	}
	if s.ageless {
		return ""
	}
	seconds, err := strconv.ParseInt(sent, 10, 64)
	if err != nil {
		return "its timestamp is no time"
	}
	// Not by the difference of two times, which has an end.
	if age := float64(now.Unix()) - float64(seconds); age > s.tolerance.Seconds() || -age > s.tolerance.Seconds() {
		return fmt.Sprintf("it was sent more than %v ago or ahead: is the clock right?", s.tolerance)
	}
	return ""
}
