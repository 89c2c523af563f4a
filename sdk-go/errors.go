package meetbot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/exchange"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/wire"
)

// kind is a kind of errors; its word is the same in every SDK.
type kind string

// Error gives the word.
func (k kind) Error() string { return "meetbot: " + string(k) }

// The kinds of errors: errors.Is(err, meetbot.ErrNotFound).
var (
	// ErrValidation: 400 or 422. The request is not what the call takes; Issues says where.
	ErrValidation error = kind("validation")
	// ErrUnauthorized: 401. The key is missing, wrong or revoked.
	ErrUnauthorized error = kind("unauthorized")
	// ErrForbidden: 403. The key may not do this.
	ErrForbidden error = kind("forbidden")
	// ErrNotFound: 404 not_found. There is no such thing, or it is another consumer's.
	ErrNotFound error = kind("not_found")
	// ErrConflict: 409. The job cannot take this in its state, or it collides with something else.
	ErrConflict error = kind("conflict")
	// ErrRateLimit: 429. Too many requests, or the quota is used up; see RetryAfter.
	ErrRateLimit error = kind("rate_limit")
	// ErrServer: 5xx. Something broke on the server's side.
	ErrServer error = kind("server")
	// ErrUnexpectedStatus: any other answer that is no success; a 404 of another code too, since the path is not there, or the server is not meetbot's.
	ErrUnexpectedStatus error = kind("unexpected_status")
	// ErrConnection: the server cannot be reached, the connection broke, or the caller's context was cancelled. Time-outs are of this kind too.
	ErrConnection error = kind("connection")
	// ErrTimeout: no answer in time: that of a try, or of the caller's context.
	ErrTimeout error = kind("timeout")
	// ErrDecode: an answer that is not what the call promises; Body shows what came.
	ErrDecode error = kind("decode")
	// ErrConfiguration: an argument or a setting that cannot be used; nothing was sent.
	ErrConfiguration error = kind("configuration")
	// ErrFile: a file, or what else a download is written to, could not be written.
	ErrFile error = kind("file")
	// ErrSignature: a webhook is not the server's, or it is an old one that was sent again.
	ErrSignature error = kind("signature")
)

// Error is the one error of this package: errors.As finds it in every error that a call gives, and errors.Is finds its kind and its cause.
//
// Its text is one line for people, and never holds the API key.
type Error struct {
	// Kind is one of the kinds above.
	Kind error
	// Status is the HTTP status; 0 when there was no answer.
	Status int
	// Code is the server's machine-readable code; empty when the answer was not the server's.
	Code string
	// Message is what went wrong, in a sentence: the server's own where it gave one.
	Message string
	// Issues is everything that is wrong with the request, where the server said so.
	Issues []Issue
	// Body is the body of the answer as it came (the API key, if it stood in it, taken out).
	Body []byte
	// RequestID is the request's id, to quote when asking for help.
	RequestID string
	// RetryAfter is how long the server asks to wait before the next try.
	RetryAfter time.Duration
	// Attempts is how many tries the call had; 0 when nothing was sent.
	Attempts int
	// Transient says that the same call may succeed later without anybody changing anything.
	Transient bool
	// IdempotencyKey is the key that all tries carried: the same call with the same key is never done twice.
	IdempotencyKey string
	// Err is the cause, where there is one: [context.Canceled], a *net.OpError, the error of the writer of a download.
	Err error
}

// Issue is one thing that is wrong with a request.
type Issue struct {
	// Path says where: the names of the fields on the way to it.
	Path []string `json:"path"`
	// Code says what, for a machine: required, invalid_type, unknown_field, too_long, and others. The set is open.
	Code string `json:"code"`
	// Message says what, and what would be right, for a person.
	Message string `json:"message"`
}

// Error gives one line: 400 invalid_input: the message; meetingUrl: what is wrong with it (request req_…).
func (e *Error) Error() string {
	text := "meetbot: "
	if e.Status != 0 {
		text += fmt.Sprint(e.Status)
		if e.Code != "" {
			text += " " + e.Code
		}
		text += ": "
	}
	text += e.Message
	for _, issue := range e.Issues {
		// A server may have said them all in its sentence.
		if !strings.Contains(e.Message, issue.Message) {
			text += "; " + strings.Join(issue.Path, ".") + ": " + issue.Message
		}
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// Is says whether target is the error's kind; a time-out is a connection error too.
func (e *Error) Is(target error) bool {
	return target == e.Kind || target == ErrConnection && e.Kind == ErrTimeout
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// LogValue gives what a log should hold.
func (e *Error) LogValue() slog.Value {
	return slog.GroupValue(slog.String("message", e.Error()), slog.Int("status", e.Status), slog.String("code", e.Code),
		slog.String("requestId", e.RequestID), slog.Int("attempts", e.Attempts), slog.Bool("transient", e.Transient))
}

func configurationError(format string, arguments ...any) *Error {
	wrapped := fmt.Errorf(format, arguments...)
	return &Error{Kind: ErrConfiguration, Message: wrapped.Error(), Err: errors.Unwrap(wrapped)}
}

// decodeError is that of an answer which does not hold what its call promises.
func decodeError(what string, body []byte, err error) *Error {
	return &Error{Kind: ErrDecode, Message: fmt.Sprintf("%s: %v: %s", what, err, shown(body)), Body: body, Err: err}
}

// kindOf is the kind of an answer with this status and this code.
func kindOf(status int, code string) error {
	switch {
	case status == 400 || status == 422:
		return ErrValidation
	case status == 401:
		return ErrUnauthorized
	case status == 403:
		return ErrForbidden
	case status == 404 && code == "not_found":
		return ErrNotFound
	case status == 409:
		return ErrConflict
	case status == 429:
		return ErrRateLimit
	case status >= 500 && status <= 599:
		return ErrServer
	}
	return ErrUnexpectedStatus
}

// said is the body of an error answer, of which only the code is required.
type said struct {
	Error     string      `json:"error" wire:"required"`
	Message   string      `json:"message"`
	Issues    []saidIssue `json:"issues"`
	RequestID string      `json:"requestId"`
}

type saidIssue struct {
	Path    []string `json:"path"`
	Code    string   `json:"code"`
	Message string   `json:"message"`
}

// answerError is the error that an answer other than 2xx is.
func answerError(status int, header http.Header, body []byte, now time.Time) *Error {
	e := &Error{Status: status, Body: body, RequestID: header.Get("X-Request-Id")}
	e.RetryAfter = max(exchange.RetryAfter(header.Get("Retry-After"), now), 0)
	var refusal said
	switch err := wire.Read(body, &refusal); {
	case err == nil:
		e.Code, e.Message = refusal.Error, refusal.Message
		if e.Message == "" {
			e.Message = refusal.Error
		}
		for _, issue := range refusal.Issues {
			e.Issues = append(e.Issues, Issue(issue))
		}
		if refusal.RequestID != "" {
			e.RequestID = refusal.RequestID
		}
	case len(strings.TrimSpace(string(body))) == 0:
		e.Message = "the answer has no body"
	default:
		e.Message = "the answer is not meetbot's: " + shown(body)
	}
	e.Kind = kindOf(status, e.Code)
	if status == 404 && e.Kind != ErrNotFound {
		e.Message += "; is the base URL right?"
	}
	switch {
	case e.Kind == ErrRateLimit:
		e.Transient = true
	case status == 500 || status == 502 || status == 503 || status == 504:
		e.Transient = true
	}
	return e
}

// failureError is the error of a call that failed.
func (c *core) failureError(failure *exchange.Failure) *Error {
	e := &Error{Message: failure.Message, Err: failure.Err}
	switch failure.Reason {
	case exchange.ErrorStatus:
		answer := failure.Answer
		e = answerError(answer.Status, answer.Header, []byte(c.redact(string(answer.Body))), time.Now())
		if answer.Status == 400 && strings.HasPrefix(c.server, "http://") && speaksTLS(answer.Body) {
			e.Message += "; the server does not speak plain HTTP there: is it reached with https://, and not with http://?"
		}
		e.Message = c.redact(e.Message)
	case exchange.Redirected:
		e.Kind, e.Status, e.RequestID = ErrUnexpectedStatus, failure.Answer.Status, failure.Answer.Header.Get("X-Request-Id")
		e.Body = []byte(c.redact(string(failure.Answer.Body)))
	case exchange.Disconnected:
		e.Kind, e.Transient = ErrConnection, true
	case exchange.TimedOut:
		e.Kind, e.Transient = ErrTimeout, true
	case exchange.Cancelled:
		e.Kind = ErrConnection
		if errors.Is(failure.Err, context.DeadlineExceeded) {
			e.Kind = ErrTimeout
		}
	case exchange.TooLarge:
		e.Kind, e.Status, e.RequestID = ErrDecode, failure.Answer.Status, failure.Answer.Header.Get("X-Request-Id")
	case exchange.Unsendable:
		e.Kind = ErrConfiguration
	}
	e.RequestID = c.redact(e.RequestID)
	return e
}

// speaksTLS says whether the answer is that of a server of HTTPS to one who speaks plain HTTP to it (nginx, Apache, Go).
func speaksTLS(body []byte) bool {
	text := string(body)
	return strings.Contains(text, "HTTPS port") || strings.Contains(text, "HTTPS server") || strings.Contains(text, "SSL-enabled")
}

// shown is the beginning of a body, on one line.
func shown(body []byte) string {
	const most = 200
	if len(body) <= most {
		return fmt.Sprintf("%q", body)
	}
	end := most
	for end > 0 && !utf8.RuneStart(body[end]) {
		end--
	}
	return fmt.Sprintf("%q…", body[:end])
}

// MarshalJSON writes what a log should hold.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{
		"kind": strings.TrimPrefix(fmt.Sprint(e.Kind), "meetbot: "), "message": e.Error(), "status": e.Status, "code": e.Code, "issues": e.Issues,
		"requestId": e.RequestID, "attempts": e.Attempts, "transient": e.Transient, "idempotencyKey": e.IdempotencyKey,
	})
}
