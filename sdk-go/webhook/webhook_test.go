package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/meetbottest"
	"github.com/meetbot-dev/meetbot/sdk-go/webhook"
)

const (
	secret  = "whsec_dGVzdA=="
	another = "whsec_b3RoZXI="
)

func finalized() map[string]any {
	return map[string]any{"event": "job.finalized", "manifestUri": "file:///m.json"}
}

func TestAWebhookIsVerifiedAndRead(t *testing.T) {
	body, header := meetbottest.SignWebhook(finalized(), secret, time.Time{})
	event, err := webhook.Unwrap(body, header, secret+"\n")
	if err != nil {
		t.Fatal(err)
	}
	if details, ok := event.Data.Details.(*meetbot.Finalized); !ok || details.ManifestURI != "file:///m.json" || event.Event != meetbot.EventFinalized || event.DeliveryID == "" {
		t.Errorf("%+v", event)
	}
	if _, err := webhook.Unwrap(body, header, another, webhook.WithSecrets(secret)); err != nil {
		t.Error(err)
	}
}

func TestForgedAndOldWebhooksAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		body, header := meetbottest.SignWebhook(finalized(), secret, now)
		without := func(names ...string) http.Header {
			left := header.Clone()
			for _, name := range names {
				left.Del(name)
			}
			return left
		}
		with := func(name, value string) http.Header {
			changed := header.Clone()
			changed.Set(name, value)
			return changed
		}
		for name, lie := range map[string]struct {
			body    []byte
			header  http.Header
			secret  string
			options []webhook.Option
		}{
			"another body":                    {append(body, ' '), header, secret, nil},
			"another secret":                  {body, header, another, nil},
			"no header":                       {body, http.Header{}, secret, nil},
			"nil for the header":              {body, nil, secret, nil},
			"no time":                         {body, without("webhook-signature"), secret, nil},
			"another time":                    {body, with("webhook-timestamp", "1"), secret, nil},
			"no timestamp":                    {body, without("webhook-timestamp"), secret, []webhook.Option{webhook.WithoutTolerance()}},
			"another id":                      {body, with("webhook-id", "dlv_2"), secret, nil},
			"the plain signature of another":  {append(body, ' '), without("webhook-signature"), secret, []webhook.Option{webhook.WithoutTolerance()}},
			"an empty signature":              {body, with("webhook-signature", " "), secret, nil},
			"neither signature, whatever age": {body, without("webhook-signature", "X-Meetbot-Signature"), secret, []webhook.Option{webhook.WithoutTolerance()}},
		} {
			event, err := webhook.Unwrap(lie.body, lie.header, lie.secret, lie.options...)
			if !errors.Is(err, meetbot.ErrSignature) || event != nil {
				t.Errorf("%s: %v %v", name, event, err)
			}
		}
		for age, fits := range map[time.Duration]bool{0: true, 300 * time.Second: true, -300 * time.Second: true, 301 * time.Second: false, -301 * time.Second: false, 1 << 62: false} {
			body, header := meetbottest.SignWebhook(finalized(), secret, now.Add(-age))
			if _, err := webhook.Unwrap(body, header, secret); (err == nil) != fits || err != nil && !errors.Is(err, meetbot.ErrSignature) {
				t.Errorf("%v: %v", age, err)
			}
			if _, err := webhook.Unwrap(body, header, secret, webhook.WithoutTolerance()); err != nil {
				t.Errorf("%v: %v", age, err)
			}
		}
		if _, err := webhook.Unwrap(body, without("webhook-signature"), secret, webhook.WithoutTolerance()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if _, err := webhook.Unwrap(body, header, secret, webhook.WithTolerance(59*time.Second)); !errors.Is(err, meetbot.ErrSignature) {
			t.Error(err)
		}
	})
}

func TestASecretThatCannotBeOneIsNoWrongSignature(t *testing.T) {
	body, header := meetbottest.SignWebhook(finalized(), secret, time.Time{})
	for _, wrong := range []string{"", " ", "mb_test_x", "whsec_", "whsec_x", "whsec_dGVzdB==", `"whsec_dGVzdA=="`, secret + another} {
		if _, err := webhook.Unwrap(body, header, wrong); !errors.Is(err, meetbot.ErrConfiguration) || strings.Contains(err.Error(), "dGVzd") {
			t.Errorf("%q: %v", wrong, err)
		}
		if _, err := webhook.Unwrap(body, header, secret, webhook.WithSecrets(wrong)); !errors.Is(err, meetbot.ErrConfiguration) {
			t.Errorf("%q: %v", wrong, err)
		}
		if err := meetbot.CheckWebhookSecret(wrong); !errors.Is(err, meetbot.ErrConfiguration) || meetbot.VerifyWebhookSignature(body, header.Get("X-Meetbot-Signature"), wrong) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if meetbot.VerifyWebhookSignature(body, header.Get("X-Meetbot-Signature")) || !meetbot.VerifyWebhookSignature(body, header.Get("X-Meetbot-Signature"), another, secret) {
		t.Error("any of several secrets will do, and none will not")
	}
}

// receiver is a handler with what came to it.
type receiver struct {
	handler  http.Handler
	events   []*meetbot.WebhookEvent
	errors   []error
	failWith error
}

func newReceiver(secret string, options ...webhook.Option) *receiver {
	r := &receiver{}
	take := func(_ context.Context, event *meetbot.WebhookEvent) error {
		r.events = append(r.events, event)
		return r.failWith
	}
	r.handler = webhook.NewHandler(secret, take, append(options, webhook.WithOnError(func(err error) { r.errors = append(r.errors, err) }))...)
	return r
}

func (r *receiver) answer(method string, body io.Reader, header http.Header) int {
	request, answer := httptest.NewRequest(method, "/webhook", body), httptest.NewRecorder()
	request.Header = header
	r.handler.ServeHTTP(answer, request)
	return answer.Code
}

func (r *receiver) post(body []byte, header http.Header) int {
	return r.answer(http.MethodPost, bytes.NewReader(body), header)
}

func signed(delivery int, fields string) ([]byte, http.Header) {
	_, header := meetbottest.SignWebhook(finalized(), secret, time.Time{})
	body := []byte(fmt.Sprintf(`{"deliveryId":"dlv_%d"%s}`, delivery, fields))
	signature := mustSign(body, header)
	header.Set("webhook-signature", signature)
	return body, header
}

func TestAHandlersStatusMakesTheServerRetryFailedEvents(t *testing.T) {
	r := newReceiver(secret)
	body, header := meetbottest.SignWebhook(finalized(), secret, time.Time{})
	answers := []int{
		r.post(body, header), r.post(body, header), r.post(append(body, ' '), header), r.post(body, http.Header{}), r.answer(http.MethodGet, nil, header),
		r.post(bytes.Repeat([]byte("x"), 1<<20+1), header), r.answer(http.MethodPost, iotest.ErrReader(io.ErrUnexpectedEOF), header),
	}
	if fmt.Sprint(answers) != "[200 200 401 401 405 413 400]" || len(r.events) != 1 || len(r.errors) != 0 {
		t.Error(answers, r.events, r.errors)
	}
	unreadable, header := signed(7, "")
	if status := r.post(unreadable, header); status != 200 || len(r.errors) != 1 || !errors.Is(r.errors[0], meetbot.ErrDecode) {
		t.Error(status, r.errors)
	}
	r.failWith = errors.New("the queue is full")
	body, header = signed(8, `,"event":"job.failed","data":{"jobId":"job_1"}`)
	if status := r.post(body, header); status != 500 || !errors.Is(r.errors[1], r.failWith) {
		t.Error(status, r.errors)
	}
	r.failWith = nil
	if status := r.post(body, header); status != 200 || len(r.events) != 3 {
		t.Error("what failed is handled when it is sent again", status, len(r.events))
	}
	wrong := newReceiver("mb_test_x")
	if status := wrong.post(body, header); status != 500 || !errors.Is(wrong.errors[0], meetbot.ErrConfiguration) {
		t.Error(status, wrong.errors)
	}
}

type ledger struct{ has, add error }

func (l ledger) Has(context.Context, string) (bool, error) { return false, l.has }
func (l ledger) Add(context.Context, string) error         { return l.add }

func TestAFailingLedgerIsReported(t *testing.T) {
	broken := errors.New("the database is away")
	body, header := meetbottest.SignWebhook(finalized(), secret, time.Time{})
	before := newReceiver(secret, webhook.WithSeen(ledger{has: broken}))
	if status := before.post(body, header); status != 500 || len(before.events) != 0 || !errors.Is(before.errors[0], broken) {
		t.Error(status, before.events, before.errors)
	}
	after := newReceiver(secret, webhook.WithSeen(ledger{add: broken}))
	if status := after.post(body, header); status != 200 || len(after.events) != 1 || !errors.Is(after.errors[0], broken) {
		t.Error(status, after.events, after.errors)
	}
}
