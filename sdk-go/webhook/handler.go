package webhook

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/signature"
)

const (
	// largest is the size of the largest body that a handler reads.
	largest = 1 << 20
	// remembered is how many deliveries a handler remembers by itself.
	remembered = 10_000
)

// Seen remembers which deliveries were handled: the same one may come twice, when its answer got lost on the way back. It is used by many goroutines.
type Seen interface {
	// Has says whether the delivery was handled.
	Has(ctx context.Context, deliveryID string) (bool, error)
	// Add remembers that it was.
	Add(ctx context.Context, deliveryID string) error
}

// WithSeen remembers deliveries there: in a database, where a service has several processes. Without it the last 10,000 are kept in memory.
func WithSeen(s Seen) Option { return option(func(set *settings) { set.seen = s }) }

// WithOnError calls f for everything that is not answered with 200 and is no fault of the sender's, and for what was signed but could not be read.
func WithOnError(f func(error)) Option { return option(func(s *settings) { s.onError = f }) }

// NewHandler takes webhooks over HTTP, at whatever path it is mounted, and gives each event to handle, which should put it into a queue of its own and return: the
// server waits 10 seconds for the answer.
//
// It answers 200 to what handle has taken, to a delivery that it has taken before, and to what is signed but no event that this version can read; 401 to what is
// not the server's, or too old; 405 to anything but a POST; 413 to more than 1 MiB; 400 to a body that breaks off; 500 where handle fails, so that the webhook is
// sent again, and where a secret cannot be one.
func NewHandler(secret string, handle func(context.Context, *meetbot.WebhookEvent) error, options ...Option) http.Handler {
	s := settingsOf(options)
	if s.seen == nil {
		s.seen = &memory{}
	}
	secrets, wrong := signature.ParseAll(append([]string{secret}, s.more...)...)
	return &handler{settings: s, secrets: secrets, wrong: wrong, handle: handle}
}

type handler struct {
	settings
	secrets []signature.Secret
	// wrong is why a secret cannot be one.
	wrong  error
	handle func(context.Context, *meetbot.WebhookEvent) error
}

// ServeHTTP takes a webhook.
func (h *handler) ServeHTTP(to http.ResponseWriter, request *http.Request) {
	status, text, err := h.take(to, request)
	if err != nil {
		h.onError(err)
	}
	if status == http.StatusMethodNotAllowed {
		to.Header().Set("Allow", http.MethodPost)
	}
	to.Header().Set("Content-Type", "text/plain; charset=utf-8")
	to.WriteHeader(status)
	_, _ = io.WriteString(to, text+"\n")
}

func (h *handler) take(to http.ResponseWriter, request *http.Request) (status int, text string, err error) {
	if request.Method != http.MethodPost {
		return http.StatusMethodNotAllowed, "webhooks are posted", nil
	}
	if h.wrong != nil {
		return http.StatusInternalServerError, "the receiver is not set up", &meetbot.Error{Kind: meetbot.ErrConfiguration, Message: h.wrong.Error(), Err: h.wrong}
	}
	body, err := io.ReadAll(http.MaxBytesReader(to, request.Body, largest))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge, "the body is larger than 1 MiB", nil
	} else if err != nil {
		return http.StatusBadRequest, "the body breaks off", nil
	}
	event, err := h.unwrap(body, request.Header, h.secrets, time.Now())
	switch {
	case errors.Is(err, meetbot.ErrSignature):
		return http.StatusUnauthorized, "the webhook is not taken", nil
	case err != nil:
		return http.StatusOK, "signed, but not understood", err
	}
	ctx, id := request.Context(), event.DeliveryID
	if id != "" {
		before, err := h.seen.Has(ctx, id)
		if err != nil {
			return http.StatusInternalServerError, "the receiver does not know whether it has it", err
		}
		if before {
			return http.StatusOK, "taken before", nil
		}
	}
	if err := h.handle(ctx, event); err != nil {
		return http.StatusInternalServerError, "the receiver failed", err
	}
	if id != "" {
		// It was handled: that it may be handled twice is no reason to have it sent again.
		err = h.seen.Add(ctx, id)
	}
	return http.StatusOK, "taken", err
}

// memory remembers the last deliveries. Its zero value is empty.
type memory struct {
	mutex sync.Mutex
	known map[string]bool
	// order is a ring of the known ids, of which next is the oldest once it is full.
	order []string
	next  int
}

func (m *memory) Has(_ context.Context, id string) (bool, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.known[id], nil
}

func (m *memory) Add(_ context.Context, id string) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	switch {
	case m.known[id]:
		return nil
	case m.known == nil:
		m.known = map[string]bool{}
	}
	if len(m.order) < remembered {
		m.order = append(m.order, id)
	} else {
		delete(m.known, m.order[m.next])
		m.order[m.next] = id
		m.next = (m.next + 1) % remembered
	}
	m.known[id] = true
	return nil
}
