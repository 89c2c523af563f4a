package checks

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/meetbot-dev/meetbot/sdk-go/meetbottest"
	"github.com/meetbot-dev/meetbot/sdk-go/webhook"
)

var noTime time.Time

func TestThePublishedVerifierOfStandardWebhooksAgreesWithOurs(t *testing.T) {
	const secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	theirs := must(standardwebhooks.NewWebhook(secret))(t)
	body, header := meetbottest.SignWebhook(map[string]any{"event": "job.finalized", "metadata": map[string]any{"name": "Zoë 🎤 <&>"}}, secret, noTime)
	if err := theirs.Verify(body, header); err != nil {
		t.Error("it refuses what we sign:", err)
	}
	if err := theirs.Verify(append(body, ' '), header); err == nil {
		t.Error("it takes another body")
	}
	now := time.Now()
	signature := must(theirs.Sign("dlv_1", now, body))(t)
	signed := http.Header{}
	signed.Set("webhook-id", "dlv_1")
	signed.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	signed.Set("webhook-signature", "v1,AAAA "+signature)
	if _, err := webhook.Unwrap(body, signed, secret); err != nil {
		t.Error("we refuse what it signs:", err)
	}
	signed.Set("webhook-id", "dlv_2")
	if _, err := webhook.Unwrap(body, signed, secret); err == nil {
		t.Error("we take another id")
	}
}
