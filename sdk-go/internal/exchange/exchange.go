// Package exchange sends a call: its tries, their limits, the pauses between them, and the key. What follows from an answer is decided in retry.go.
package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// MaxAnswer is the size of the largest answer that is read into memory; the largest list of the server's is a tenth of it.
const MaxAnswer = 64 << 20

// Exchange is what the calls of a client share.
type Exchange struct {
	HTTP *http.Client
	// Authorization gives the header with the key. It is a function so that nothing that prints this prints the key.
	Authorization func() string
	// Redact takes the key out of a text, should a server have sent it back.
	Redact func(string) string
	// Origin is the scheme and the host of the server.
	Origin string
	// Path is that of the base URL, escaped, without a slash at its end.
	Path   string
	Logger *slog.Logger
}

// Call is one call. It sends a request, as an [http.Client] does.
type Call struct {
	Exchange   *Exchange
	Timeout    time.Duration
	Deadline   time.Duration
	MaxRetries int
	// Attempts is how many tries there were.
	Attempts int
	// Answer is the last answer, whatever its status.
	Answer *Answer
}

// Answer is a whole answer.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Reason is the kind of a [Failure].
type Reason int

// Why a call failed.
const (
	// Refused: the answer is no success.
	Refused Reason = iota
	// Redirected: the answer leads elsewhere, and is not followed.
	Redirected
	// Disconnected: there was no answer, or half of one.
	Disconnected
	// Late: there was no whole answer in time.
	Late
	// Cancelled: the caller's context ended.
	Cancelled
	// TooLarge: the answer is too large to be read.
	TooLarge
	// Unsendable: the request cannot be sent.
	Unsendable
)

// Failure is why a call failed.
type Failure struct {
	Reason  Reason
	Message string
	// Answer is there for Refused, Redirected and TooLarge.
	Answer *Answer
	// Err is the cause, where there is one.
	Err error
}

func (f *Failure) Error() string { return f.Message }

// errLate ends a try that takes too long.
var errLate = errors.New("the time of a try is over")

// Do sends the request until there is an answer that counts. It gives no response: the answer is the call's, and whole.
//
// The request's headers get the key, so nobody else may have them.
func (c *Call) Do(request *http.Request) (*http.Response, error) {
	ctx, began := request.Context(), time.Now()
	left := func() time.Duration { return c.Deadline - time.Since(began) }
	if failure := c.Exchange.seal(request); failure != nil {
		return nil, failure
	}
	for {
		limit := c.Timeout
		if c.Deadline > 0 {
			limit = min(limit, left())
		}
		c.Attempts++
		failure := c.try(ctx, request, limit)
		if failure == nil {
			return nil, nil
		}
		wait, again := c.Exchange.again(c.Attempts, c.MaxRetries, failure)
		if !again || (c.Deadline > 0 && wait >= left()) {
			return nil, failure
		}
		c.Exchange.Logger.LogAttrs(ctx, slog.LevelDebug, "the call is tried again", slog.Int("attempts", c.Attempts), slog.Duration("wait", wait), slog.String("error", failure.Message))
		if failure := c.Exchange.Sleep(ctx, wait); failure != nil {
			return nil, failure
		}
	}
}

// again says whether a failure may pass, and after how long.
func (e *Exchange) again(tried, maxRetries int, failure *Failure) (time.Duration, bool) {
	status, retryAfter := Broken, time.Duration(-1)
	switch failure.Reason {
	case Refused:
		status, retryAfter = failure.Answer.Status, RetryAfter(failure.Answer.Header.Get("Retry-After"), time.Now())
	case Disconnected, Late:
	default:
		return 0, false
	}
	return Decide(tried, maxRetries, status, retryAfter, rand.Float64())
}

// Sleep waits, for no longer than the context lives.
func (e *Exchange) Sleep(ctx context.Context, wait time.Duration) *Failure {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return e.cancelled(ctx)
	}
}

// try sends the request once, and reads the answer.
func (c *Call) try(parent context.Context, request *http.Request, limit time.Duration) *Failure {
	e := c.Exchange
	c.Answer = nil
	ctx, cancel := context.WithTimeoutCause(parent, limit, errLate)
	// Not before the body is read: it would break off.
	defer cancel()
	response, failure := e.follow(parent, ctx, request)
	if failure != nil {
		return failure
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusSwitchingProtocols {
		// Its body has no end.
		c.Answer = &Answer{Status: response.StatusCode, Header: response.Header}
		return &Failure{Reason: Refused, Answer: c.Answer}
	}
	body, failure := e.body(parent, ctx, response)
	if failure != nil {
		return failure
	}
	c.Answer = &Answer{Status: response.StatusCode, Header: response.Header, Body: body}
	return e.judge(c.Answer)
}

// send sends the request with this context, which ends no later than the caller's.
func (e *Exchange) send(parent, ctx context.Context, request *http.Request) (*http.Response, *Failure) {
	request = request.WithContext(ctx)
	if request.GetBody != nil {
		body, err := request.GetBody()
		if err != nil {
			return nil, &Failure{Reason: Unsendable, Message: "the body cannot be sent again", Err: err}
		}
		request.Body = body
	}
	response, err := e.HTTP.Do(request)
	if err != nil {
		return nil, e.broken(parent, ctx, request, err)
	}
	return response, nil
}

// seal puts the key into the request, whose other headers have to be such that can be sent.
func (e *Exchange) seal(request *http.Request) *Failure {
	for name, values := range request.Header {
		for _, value := range values {
			if !ValidHeader(name, value) {
				return &Failure{Reason: Unsendable, Message: "the header " + name + " holds what no header can"}
			}
		}
	}
	if request.URL.Scheme+"://"+request.URL.Host != e.Origin {
		return &Failure{Reason: Unsendable, Message: "the request leads to another server than the client's"}
	}
	request.Header.Set("Authorization", e.Authorization())
	return nil
}

// body reads the whole body, if it is of a size that an answer may have.
func (e *Exchange) body(parent, ctx context.Context, response *http.Response) ([]byte, *Failure) {
	tooLarge := func() *Failure {
		return &Failure{Reason: TooLarge, Message: "the answer is larger than 64 MiB", Answer: &Answer{Status: response.StatusCode, Header: response.Header}}
	}
	size := response.ContentLength
	if size > MaxAnswer {
		return nil, tooLarge()
	}
	// The answer to a HEAD says a length, and has no body.
	if size > 0 && size <= 1<<20 && response.Body != http.NoBody {
		body := make([]byte, size)
		if _, err := io.ReadFull(response.Body, body); err != nil {
			return nil, e.broken(parent, ctx, response.Request, err)
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, MaxAnswer+1))
	switch {
	case err != nil:
		return nil, e.broken(parent, ctx, response.Request, err)
	case len(body) > MaxAnswer:
		return nil, tooLarge()
	}
	return body, nil
}

// judge says why an answer is no success; nil where it is one.
func (e *Exchange) judge(answer *Answer) *Failure {
	location := answer.Header.Get("Location")
	switch {
	case answer.Status >= 200 && answer.Status < 300:
		return nil
	case answer.Status >= 300 && answer.Status < 400 && location != "":
		message := fmt.Sprintf("the call is redirected to %q: is the base URL right?", e.Redact(withoutQuery(location)))
		return &Failure{Reason: Redirected, Message: message, Answer: answer}
	}
	return &Failure{Reason: Refused, Answer: answer}
}

// broken is the failure of a connection that was not to be had, or broke.
func (e *Exchange) broken(parent, ctx context.Context, request *http.Request, err error) *Failure {
	if parent.Err() != nil {
		return e.cancelled(parent)
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	where := request.Method + " " + e.shown(request.URL) + ": "
	var timeout net.Error
	if cause := context.Cause(ctx); cause != nil {
		return &Failure{Reason: Late, Message: where + "no whole answer in time: " + cause.Error(), Err: e.clean(err)}
	} else if errors.As(err, &timeout) && timeout.Timeout() {
		return &Failure{Reason: Late, Message: where + e.Redact(err.Error()), Err: e.clean(err)}
	}
	return &Failure{Reason: Disconnected, Message: where + beginning(e.Redact(err.Error())) + hint(request.URL, err.Error()), Err: e.clean(err)}
}

// clean gives an error that does not show the key, should a server have sent it back in what is no HTTP.
func (e *Exchange) clean(err error) error {
	if text := err.Error(); e.Redact(text) != text {
		return errors.New(e.Redact(text))
	}
	return err
}

// cancelled is the failure of a call whose context has ended.
func (e *Exchange) cancelled(ctx context.Context) *Failure {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != err {
		err = errors.Join(err, cause)
	}
	return &Failure{Reason: Cancelled, Message: "the call was given up: " + strings.ReplaceAll(err.Error(), "\n", ": "), Err: err}
}

// shown is a URL for people: its query may be a signature.
func (e *Exchange) shown(address *url.URL) string {
	return e.Redact(withoutQuery(address.Redacted()))
}

func withoutQuery(address string) string {
	address, _, _ = strings.Cut(address, "?")
	return address
}

// aRecordOfTLS is how net/http quotes what came in place of an answer, where it is the beginning of an alert or a handshake of TLS: the kind of the record, and a
// version of 3.x.
var aRecordOfTLS = regexp.MustCompile(`malformed HTTP response "\\x1[56]\\x03\\x0[0-4]`)

// beginning is a text that is no longer than an error should be: net/http quotes a whole line of what came in place of an answer.
func beginning(text string) string {
	const most = 400
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// hint says what may be the reason.
func hint(address *url.URL, message string) string {
	switch {
	case strings.Contains(message, "server gave HTTP response to HTTPS client"):
		return "; is the server reached with http://, and not with https://?"
	case address.Scheme == "http" && aRecordOfTLS.MatchString(message):
		return "; the server does not speak plain HTTP there: is it reached with https://, and not with http://?"
	}
	return ""
}

// ValidHeader says whether a header can be sent.
func ValidHeader(name, value string) bool {
	if name == "" {
		return false
	}
	for _, letter := range []byte(name) {
		token := letter >= 'a' && letter <= 'z' || letter >= 'A' && letter <= 'Z' || letter >= '0' && letter <= '9'
		if !token && strings.IndexByte("!#$%&'*+-.^_`|~", letter) < 0 {
			return false
		}
	}
	for _, letter := range []byte(value) {
		if letter < ' ' && letter != '\t' || letter == 0x7f {
			return false
		}
	}
	return true
}
