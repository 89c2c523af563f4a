package meetbottest

import (
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/signature"
)

const deliveryID = "dlv_01KAB1CDEFGHJKMNPQRSTVWXYZ"

// SignWebhook makes a webhook as the server sends it, in both signature schemes: its body and its headers. data is the event's data,
// {"event": "job.finalized", "manifestUri": …}; what is missing of an envelope is filled in. at is when it was sent, now where it is zero.
//
// It panics where secret cannot be one, or data is no JSON.
func SignWebhook(data map[string]any, secret string, at time.Time) (body []byte, header http.Header) {
	parsed, err := signature.Parse(secret)
	if err != nil {
		panic("meetbottest: " + err.Error())
	}
	if at.IsZero() {
		at = time.Now()
	}
	if body, err = json.Marshal(envelope(data)); err != nil {
		panic("meetbottest: " + err.Error())
	}
	header, timestamp := http.Header{}, strconv.FormatInt(at.Unix(), 10)
	header.Set("Content-Type", "application/json")
	header.Set("X-Meetbot-Signature", parsed.Sign(body))
	header.Set("X-Meetbot-Webhook-Version", "2")
	header.Set("webhook-id", deliveryID)
	header.Set("webhook-timestamp", timestamp)
	header.Set("webhook-signature", parsed.SignStandard(deliveryID, timestamp, body))
	return body, header
}

func envelope(data map[string]any) map[string]any {
	name, named := data["event"].(string)
	if !named {
		name = "job.status_changed"
	}
	status := "recording"
	switch name {
	case "job.failed":
		status = "failed"
	case "job.finalized", "job.artifact_ready":
		status = "completed"
	}
	filled := map[string]any{"event": name, "sequence": 1, "jobId": firstJob, "externalId": nil, "status": status, "metadata": map[string]any{}}
	maps.Copy(filled, data)
	return map[string]any{"deliveryId": deliveryID, "event": name, "emittedAt": "2026-01-01T00:00:00.000Z", "attempt": 1, "version": 2, "data": filled}
}
