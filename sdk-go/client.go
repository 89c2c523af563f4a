package meetbot

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/api"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/exchange"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/pasted"
)

// Version is the version of this package.
const Version = "0.1.0"

const (
	defaultBaseURL    = "https://api.meetbot.dev"
	defaultTimeout    = 30 * time.Second
	defaultMaxRetries = 3
	connectTimeout    = 10 * time.Second
)

// Client is a client of a meetbot server. It is safe for many goroutines, which share its connections.
//
// Nothing that prints it shows the key.
type Client struct {
	core    *core
	options callOptions
}

// core is what all clients share that were made from one.
type core struct {
	exchange   *exchange.Exchange
	server     string // With a slash at its end: the generated requests are relative to it.
	userAgent  string
	redact     func(string) string
	logger     *slog.Logger
	onRequest  func(*CallStarted)
	onResponse func(CallEnded)
}

// NewClient makes a client. What is not set comes from MEETBOT_API_KEY and MEETBOT_API_BASE_URL of the environment.
//
// Fails with [ErrConfiguration] for a key or a URL that is missing or cannot be used.
func NewClient(options ...Option) (*Client, error) {
	s := settings{call: callOptions{timeout: defaultTimeout, maxRetries: defaultMaxRetries}}
	for _, option := range options {
		if option != nil {
			option.setClient(&s)
		}
	}
	if s.call.wrong != nil {
		return nil, s.call.wrong
	}
	if !s.keySet {
		s.key = os.Getenv("MEETBOT_API_KEY")
		if pasted.Trim(s.key) == "" {
			return nil, configurationError("there is no API key: set MEETBOT_API_KEY, or pass one with WithAPIKey")
		}
	}
	if !s.baseURLSet {
		if s.baseURL = os.Getenv("MEETBOT_API_BASE_URL"); pasted.Trim(s.baseURL) == "" {
			s.baseURL = defaultBaseURL
		}
	}
	key, err := checkedKey(s.key)
	if err != nil {
		return nil, err
	}
	base, err := checkedBaseURL(s.baseURL)
	if err != nil {
		return nil, err
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if isInTheClear(base) {
		s.logger.Warn("the API key goes to another machine over plain http://: others on the network path can read it", "server", base.Host)
	}
	authorization := "Bearer " + key
	redact := func(text string) string { return strings.ReplaceAll(text, key, "mb_…") }
	c := &core{
		exchange: &exchange.Exchange{
			HTTP:          httpClient(s.http),
			Authorization: func() string { return authorization },
			Redact:        redact,
			Origin:        base.Scheme + "://" + base.Host,
			Path:          base.EscapedPath(),
			Logger:        s.logger,
		},
		server:     base.String() + "/",
		userAgent:  fmt.Sprintf("meetbot-go/%s %s (%s; %s)", Version, runtime.Version(), runtime.GOOS, runtime.GOARCH),
		redact:     redact,
		logger:     s.logger,
		onRequest:  s.onRequest,
		onResponse: s.onResponse,
	}
	return &Client{core: c, options: s.call}, nil
}

// httpClient is a copy of the caller's, or one of our own.
func httpClient(given *http.Client) *http.Client {
	var made http.Client
	if given != nil {
		made = *given
	}
	if made.Transport == nil {
		made.Transport = transport()
	}
	made.Transport = unfollowed{made.Transport}
	made.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &made
}

// unfollowed lets an answer through whose Location is no URL: http.Client would call it a connection that broke.
type unfollowed struct{ http.RoundTripper }

func (u unfollowed) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := u.RoundTripper.RoundTrip(request)
	if err == nil && response.StatusCode >= 300 && response.StatusCode < 400 {
		if _, err := response.Location(); err != nil {
			response.Header.Del("Location")
		}
	}
	return response, err
}

// CloseIdleConnections is asked for by [http.Client.CloseIdleConnections].
func (u unfollowed) CloseIdleConnections() {
	if closer, ok := u.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// transport is a copy of net/http's own, with a limit for connecting, and with room for the connections of many calls at a time.
func transport() http.RoundTripper {
	standard, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		// The program has put one of its own in its place.
		return http.DefaultTransport
	}
	made := standard.Clone()
	made.DialContext = (&net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}).DialContext
	made.MaxIdleConns, made.MaxIdleConnsPerHost = 100, 100
	made.MaxResponseHeaderBytes = 1 << 20
	made.Proxy = notForLoopback(standard.Proxy)
	return made
}

// checkedKey gives the key without what stands around it: one that was read from a file ends with a line break more often than not.
func checkedKey(key string) (string, error) {
	key = pasted.Trim(key)
	if stranger := pasted.Stranger(key); stranger != "" {
		return "", configurationError("the API key holds %s, which no key has and which may not show: remove it, or copy the key again", stranger)
	}
	if key == "" || strings.ContainsFunc(key, func(letter rune) bool { return letter <= ' ' || letter > '~' }) {
		return "", configurationError("the API key is empty or holds a character that no key has (a space? a quote?)")
	}
	return key, nil
}

// checkedBaseURL gives the server that a base URL names, without a slash at its end. Many APIs count their version to it, so a trailing /api/v1 is taken off.
func checkedBaseURL(text string) (*url.URL, error) {
	trimmed := strings.TrimRight(pasted.Trim(text), "/")
	wrong := func(problem string) error {
		// A password may stand before an @.
		if strings.Contains(trimmed, "@") {
			return configurationError("the base URL %s: give one like %s", problem, defaultBaseURL)
		}
		return configurationError("the base URL %q %s: give one like %s", trimmed, problem, defaultBaseURL)
	}
	if strings.ContainsFunc(trimmed, func(letter rune) bool { return letter <= ' ' || letter == 0x7f }) {
		return nil, wrong("holds white space")
	}
	base, err := url.Parse(trimmed)
	switch {
	case err != nil:
		return nil, wrong("is not a URL")
	case base.Scheme != "http" && base.Scheme != "https", base.Hostname() == "":
		return nil, wrong("is not one of http or https")
	case base.User != nil:
		return nil, configurationError("the base URL holds a user name or a password: the API key is all that is needed")
	case base.RawQuery != "" || base.ForceQuery || base.Fragment != "" || strings.Contains(trimmed, "#"):
		return nil, wrong("has a query or a fragment")
	}
	path := strings.TrimRight(base.EscapedPath(), "/")
	path = strings.TrimRight(strings.TrimSuffix(path, "/api/v1"), "/")
	return base.Parse(base.Scheme + "://" + strings.ToLower(base.Host) + path)
}

// WithOptions gives the same client with other settings, for one call or for many. An idempotency key is for one call, and is refused.
func (c *Client) WithOptions(options ...CallOption) *Client {
	changed := c.options.with(options)
	if changed.idempotencyKey != "" {
		changed.refuse(configurationError("an idempotency key is for one call: pass it with the call"))
	}
	return &Client{core: c.core, options: changed}
}

// BaseURL is where calls go, without a slash at its end.
func (c *Client) BaseURL() string {
	if c.core == nil {
		return ""
	}
	return strings.TrimSuffix(c.core.server, "/")
}

// CloseIdleConnections closes the connections that no call uses.
func (c *Client) CloseIdleConnections() {
	if c.core != nil {
		c.core.exchange.HTTP.CloseIdleConnections()
	}
}

// String shows where calls go, and no key.
func (c Client) String() string {
	return "meetbot.Client(" + c.BaseURL() + ")"
}

// GoString is String.
func (c Client) GoString() string { return c.String() }

// Format writes String, whatever the verb.
func (c Client) Format(to fmt.State, _ rune) { _, _ = io.WriteString(to, c.String()) }

// LogValue is String.
func (c Client) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON writes String.
func (c Client) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }

// attempt is one call on its way: its options, and what the hooks receive about it.
type attempt struct {
	core     *core
	options  callOptions
	started  time.Time
	ended    CallEnded
	call     exchange.Call
	accepted string
	// What follows is here so that a call needs no memory of its own for it.
	generated api.Client
	editors   [1]api.RequestEditorFn
	values    [2]string
}

// prepare checks what can be checked before anything is sent.
func (c *Client) prepare(ctx context.Context, options []CallOption) (*attempt, *Error) {
	if c == nil || c.core == nil {
		return nil, configurationError("the client was not made by NewClient")
	}
	a := &attempt{core: c.core, options: c.options.with(options), started: time.Now(), accepted: "application/json"}
	switch o := &a.options; {
	case o.wrong != nil:
		return nil, o.wrong
	case ctx == nil:
		return nil, configurationError("the context is nil: there is context.Background()")
	default:
		a.call = exchange.Call{Exchange: c.core.exchange, Timeout: o.timeout, Deadline: o.deadline, MaxRetries: o.maxRetries}
	}
	return a, nil
}

// client gives the generated client that makes this call.
func (a *attempt) client(doer api.HttpRequestDoer) *api.Client {
	a.editors[0] = a.edit
	a.generated = api.Client{Server: a.core.server, Client: doer, RequestEditors: a.editors[:]}
	return &a.generated
}

// edit adds the headers of every call.
func (a *attempt) edit(_ context.Context, request *http.Request) error {
	header := request.Header
	a.values = [...]string{a.core.userAgent, a.accepted}
	header["User-Agent"], header["Accept"] = a.values[0:1:1], a.values[1:2:2]
	if a.accepted == anyFile {
		// net/http would unpack what is packed, and its size would not be known.
		header.Set("Accept-Encoding", "identity")
	}
	for name, values := range a.options.header {
		header[name] = slices.Clone(values)
	}
	if request.Method == http.MethodPost {
		if a.options.idempotencyKey == "" {
			a.options.idempotencyKey = rand.Text()
		}
		header.Set("Idempotency-Key", a.options.idempotencyKey)
	} else {
		a.options.idempotencyKey = ""
	}
	a.ended.Method, a.ended.Path = request.Method, request.URL.EscapedPath()
	if a.core.onRequest != nil {
		a.core.onRequest(&CallStarted{Method: a.ended.Method, Path: a.ended.Path, Header: header})
		// The key is added later, so that code that keeps the hook's headers does not get it.
		request.Header = header.Clone()
	}
	return nil
}

// failed is the error of the call.
func (a *attempt) failed(err error) *Error {
	var e *Error
	var failure *exchange.Failure
	switch {
	case errors.As(err, &failure):
		e = a.core.failureError(failure)
		// A request that was not sent had no try.
		if failure.Reason != exchange.Unsendable {
			e.Attempts = a.call.Attempts
		}
	case errors.As(err, &e):
	default:
		// The generated code could not make the request.
		return configurationError("the request cannot be made: %w", err)
	}
	e.IdempotencyKey = a.options.idempotencyKey
	return e
}

// end calls the hooks of an ended call.
func (a *attempt) end(err *Error) {
	a.ended.Duration, a.ended.Attempts = time.Since(a.started), a.call.Attempts
	if err != nil {
		a.ended.Err, a.ended.Status, a.ended.RequestID = err, err.Status, err.RequestID
	}
	if a.core.onResponse != nil && a.ended.Method != "" {
		a.core.onResponse(a.ended)
	}
}

// call makes a call, and reads its answer.
func call[T any](ctx context.Context, c *Client, options []CallOption, send func(*api.Client) (*http.Response, error), read func([]byte) (T, error)) (T, error) {
	var none T
	a, wrong := c.prepare(ctx, options)
	if wrong != nil {
		return none, wrong
	}
	response, err := a.send(ctx, send)
	if err != nil {
		a.end(err)
		return none, err
	}
	found, unreadable := read(response.Body)
	if unreadable != nil {
		err := decodeError("the body is not what "+a.ended.Path+" promises", []byte(c.core.redact(string(response.Body))), unreadable)
		err.Message = c.core.redact(err.Message)
		err.Status, err.RequestID, err.Attempts, err.IdempotencyKey = response.Status, response.RequestID, response.Attempts, a.options.idempotencyKey
		a.end(err)
		return none, err
	}
	a.end(nil)
	return found, nil
}

// send makes a call; its answer is a success.
func (a *attempt) send(ctx context.Context, send func(*api.Client) (*http.Response, error)) (Response, *Error) {
	_, err := send(a.client(&a.call))
	answer := a.call.Answer
	if answer == nil {
		if err == nil {
			err = errors.New("there is no answer")
		}
		return Response{}, a.failed(err)
	}
	response := Response{Status: answer.Status, Attempts: a.call.Attempts, Header: answer.Header, Body: answer.Body, RequestID: answer.Header.Get("X-Request-Id")}
	a.ended.Status, a.ended.RequestID = response.Status, response.RequestID
	if a.options.response != nil {
		*a.options.response = response
	}
	if err != nil {
		return Response{}, a.failed(err)
	}
	if names := answer.Header.Get("X-Meetbot-Ignored"); names != "" {
		a.core.logger.LogAttrs(ctx, slog.LevelWarn, "the server does not know these fields and passed them over", slog.String("names", names), slog.String("path", a.ended.Path))
	}
	return response, nil
}
