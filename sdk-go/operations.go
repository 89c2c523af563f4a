package meetbot

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/api"
)

// EraseConsumer cancels all bots of the key's consumer and erases everything it has, this key included (DELETE /api/v1/consumers/me, scope admin). confirm is the
// consumer's name. [ErrServer] with the status 503 while bots are still leaving: ask again.
func (c *Client) EraseConsumer(ctx context.Context, confirm string, options ...CallOption) (*ErasureReceipt, error) {
	send := func(to *api.Client) (*http.Response, error) {
		return to.EraseConsumer(ctx, &api.EraseConsumerParams{Confirm: confirm})
	}
	return call(ctx, c, options, send, read[ErasureReceipt])
}

// Host returns the load of the server's machine and of the server (GET /api/v1/admin/host, scope admin). It takes a fifth of a second, for which the
// processors are watched.
func (c *Client) Host(ctx context.Context, options ...CallOption) (*Host, error) {
	send := func(to *api.Client) (*http.Response, error) { return to.GetHost(ctx) }
	return call(ctx, c, options, send, read[Host])
}

// Usage returns what the key's consumer has used this month in the key's world, and its limits (GET /api/v1/usage).
func (c *Client) Usage(ctx context.Context, options ...CallOption) (*Usage, error) {
	send := func(to *api.Client) (*http.Response, error) { return to.GetUsage(ctx) }
	return call(ctx, c, options, send, read[Usage])
}

// ListPlatforms lists every platform that the server recognises, with each way into its meetings: whether a job for it is taken with this key, and what the operator
// has to install or set where none is (GET /api/v1/platforms). All of it is on one page. With a test key the sandbox plays the meetings of every platform.
func (c *Client) ListPlatforms(ctx context.Context, options ...CallOption) (*PlatformPage, error) {
	send := func(to *api.Client) (*http.Response, error) { return to.ListPlatforms(ctx) }
	return call(ctx, c, options, send, func(body []byte) (*PlatformPage, error) {
		data, next, err := elements[PlatformAvailability](body)
		return &PlatformPage{Data: data, NextCursor: next}, err
	})
}

// DeliveriesParams says which deliveries to list; what has its zero value does not narrow the list.
type DeliveriesParams struct {
	// JobID: deliveries of this job.
	JobID string
	// State: deliveries in this state.
	State DeliveryState
	// Limit is how many a page holds: 1 to 200; the server's default is 50.
	Limit int
	// Cursor is the NextCursor of the page before.
	Cursor string
}

// Deliveries gives one page of webhook deliveries with every try, newest first (GET /api/v1/webhooks/deliveries); [Client.AllDeliveries] goes over all of them.
func (c *Client) Deliveries(ctx context.Context, params DeliveriesParams, options ...CallOption) (*DeliveryPage, error) {
	limit, err := limitOf(params.Limit)
	if err != nil {
		return nil, err
	}
	sent := &api.ListDeliveriesParams{JobID: set(params.JobID), State: set(api.DeliveryState(params.State)), Limit: limit, Cursor: set(params.Cursor)}
	send := func(to *api.Client) (*http.Response, error) { return to.ListDeliveries(ctx, sent) }
	return call(ctx, c, options, send, func(body []byte) (*DeliveryPage, error) {
		data, next, err := elements[Delivery](body)
		return &DeliveryPage{Data: data, NextCursor: next}, err
	})
}

// GetDelivery gives a webhook delivery with every try (GET /api/v1/webhooks/deliveries/{id}); [ErrNotFound] where there is none with this id.
func (c *Client) GetDelivery(ctx context.Context, deliveryID string, options ...CallOption) (*Delivery, error) {
	send := func(to *api.Client) (*http.Response, error) { return to.GetDelivery(ctx, deliveryID) }
	return call(ctx, c, options, send, read[Delivery])
}

// Redeliver sends a webhook again at once, whatever became of it, under the same deliveryId (POST …/redeliver). Should it fail, the waits between tries begin anew.
func (c *Client) Redeliver(ctx context.Context, deliveryID string, options ...CallOption) (*Delivery, error) {
	send := func(to *api.Client) (*http.Response, error) { return to.Redeliver(ctx, deliveryID, nil) }
	return call(ctx, c, options, send, read[Delivery])
}

// Request makes a call that this version does not know, to any path of the API: with the key, the time limits, the retries and the errors of every other call.
// path goes from / on, with its query, and is percent-encoded; body is written as JSON, nil is none.
func (c *Client) Request(ctx context.Context, method, path string, body any, options ...CallOption) (*Response, error) {
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return nil, configurationError("the body cannot be written as JSON: %w", err)
		}
	}
	if !strings.HasPrefix(path, "/") {
		return nil, configurationError("the path %q does not begin with a slash", path)
	}
	a, wrong := c.prepare(ctx, options)
	if wrong != nil {
		return nil, wrong
	}
	response, err := a.send(ctx, func(to *api.Client) (*http.Response, error) {
		var reader io.Reader
		if body != nil {
			reader = bytes.NewReader(sent)
		}
		request, err := http.NewRequestWithContext(ctx, method, c.BaseURL()+path, reader)
		if err != nil {
			return nil, err
		}
		if body != nil {
			request.Header.Set("Content-Type", "application/json")
		}
		if err := a.edit(ctx, request); err != nil {
			return nil, err
		}
		return to.Client.Do(request)
	})
	a.end(err)
	if err != nil {
		return nil, err
	}
	return &response, nil
}
