package webhook_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/meetbottest"
	"github.com/meetbot-dev/meetbot/sdk-go/webhook"
)

func ExampleUnwrap() {
	body, header := meetbottest.SignWebhook(map[string]any{"event": "job.failed", "failure_code": "network_loss"}, "whsec_dGVzdA==", time.Time{})
	event, err := webhook.Unwrap(body, header, "whsec_dGVzdA==")
	if err != nil {
		panic(err)
	}
	if details, ok := event.Data.Details.(*meetbot.Failed); ok {
		fmt.Println(details.FailureCode == meetbot.FailureNetworkLoss)
	}
	// Output: true
}

func ExampleNewHandler() {
	handler := webhook.NewHandler("whsec_dGVzdA==", func(ctx context.Context, event *meetbot.WebhookEvent) error {
		if details, ok := event.Data.Details.(*meetbot.Finalized); ok {
			fmt.Println("recorded:", details.ManifestURI)
		}
		return nil
	})
	// http.Handle("/webhook/meetbot", handler)

	body, header := meetbottest.SignWebhook(map[string]any{"event": "job.finalized", "manifestUri": "file:///m.json"}, "whsec_dGVzdA==", time.Time{})
	request, answer := httptest.NewRequest(http.MethodPost, "/webhook/meetbot", bytes.NewReader(body)), httptest.NewRecorder()
	request.Header = header
	handler.ServeHTTP(answer, request)
	fmt.Println(answer.Code)
	// Output:
	// recorded: file:///m.json
	// 200
}
