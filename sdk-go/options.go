package meetbot

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/exchange"
)

// Option is a setting of [NewClient].
type Option interface{ setClient(*settings) }

// CallOption is a setting of one call, or of many with [Client.WithOptions].
type CallOption interface{ setCall(*callOptions) }

// SharedOption is a setting of a client or of a call.
type SharedOption interface {
	Option
	CallOption
}

// settings are those of a client. Options are functions, so that nothing that prints one prints a key.
type settings struct {
	key, baseURL       string
	keySet, baseURLSet bool
	http               *http.Client
	logger             *slog.Logger
	onRequest          func(*CallStarted)
	onResponse         func(CallEnded)
	call               callOptions
}

// callOptions are those of a call.
type callOptions struct {
	timeout, deadline time.Duration
	maxRetries        int
	header            http.Header
	idempotencyKey    string
	response          *Response
	onUpdate          func(*Job)
	onProgress        func(Progress)
	expected          *ManifestFile
	skipMix           bool
	// wrong is what cannot be used of the options.
	wrong *Error
}

type clientOption func(*settings)

func (o clientOption) setClient(s *settings) { o(s) }

type callOption func(*callOptions)

func (o callOption) setCall(c *callOptions) { o(c) }

type sharedOption func(*callOptions)

func (o sharedOption) setClient(s *settings) { o(&s.call) }

func (o sharedOption) setCall(c *callOptions) { o(c) }

// WithAPIKey gives the API key; without it, it is that of the environment, MEETBOT_API_KEY.
func WithAPIKey(key string) Option {
	return clientOption(func(s *settings) { s.key, s.keySet = key, true })
}

// WithBaseURL says where the server is; without it, MEETBOT_API_BASE_URL of the environment does, or else it is https://api.meetbot.dev. A trailing /api/v1 is
// taken off.
func WithBaseURL(url string) Option {
	return clientOption(func(s *settings) { s.baseURL, s.baseURLSet = url, true })
}

// WithHTTPClient sends through this client: for a proxy, certificates, or a transport of your own. It is copied; its CheckRedirect is not asked, since
// only the redirects of artifacts are followed, without the key.
func WithHTTPClient(client *http.Client) Option {
	return clientOption(func(s *settings) { s.http = client })
}

// WithLogger logs tries that failed at the level of debugging, and warns of fields of a request that the server did not know.
func WithLogger(logger *slog.Logger) Option {
	return clientOption(func(s *settings) { s.logger = logger })
}

// WithOnRequest calls f before each call, which may add headers to it: those of a trace, for example. Each connection of a watch and of a download is a call here.
// f may be called by several goroutines at a time, of one [Client.WaitForBot] too.
func WithOnRequest(f func(*CallStarted)) Option {
	return clientOption(func(s *settings) { s.onRequest = f })
}

// WithOnResponse calls f after each call, whatever came of it; for a watch and a download, when the answer has begun. f may be called by several goroutines at a time.
func WithOnResponse(f func(CallEnded)) Option {
	return clientOption(func(s *settings) { s.onResponse = f })
}

// WithTimeout limits each try of a call, from connecting to the last byte of the answer; it is 30 seconds unless set. For a download it limits how long nothing
// may come.
func WithTimeout(perTry time.Duration) SharedOption {
	return sharedOption(func(c *callOptions) {
		if perTry <= 0 {
			c.refuse(configurationError("a timeout is more than 0, and not %v", perTry))
		}
		c.timeout = perTry
	})
}

// WithDeadline limits the whole call, all its tries and the pauses between them included; without it only the tries are limited.
//
// A call that would have to wait beyond it gives up at once, with the error of its last try. A watch, a download and a wait are no calls in this sense: it holds
// for each of their requests.
func WithDeadline(whole time.Duration) SharedOption {
	return sharedOption(func(c *callOptions) {
		if whole <= 0 {
			c.refuse(configurationError("a deadline is more than 0, and not %v", whole))
		}
		c.deadline = whole
	})
}

// WithMaxRetries says how often a call is tried again after its first try; 3 unless set.
func WithMaxRetries(n int) SharedOption {
	return sharedOption(func(c *callOptions) {
		if n < 0 {
			c.refuse(configurationError("a call cannot be tried again %d times", n))
		}
		c.maxRetries = n
	})
}

// WithHeader sends this header too.
func WithHeader(name, value string) SharedOption {
	return sharedOption(func(c *callOptions) {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !exchange.ValidHeader(name, value):
			c.refuse(configurationError("the header %q with this value cannot be sent", name))
			return
		case canonical == "Authorization" || canonical == "Idempotency-Key":
			c.refuse(configurationError("the header %s has an option of its own", canonical))
			return
		}
		// A client's other calls have the map too.
		if c.header = c.header.Clone(); c.header == nil {
			c.header = http.Header{}
		}
		c.header.Set(name, value)
	})
}

// WithIdempotencyKey is the Idempotency-Key of a POST (1 to 255 visible ASCII characters), instead of a random one. A second call with the same key and body gets
// the first one's answer for 24 hours; with another body it is refused.
func WithIdempotencyKey(key string) CallOption {
	return callOption(func(c *callOptions) {
		if key == "" || len(key) > 255 || strings.ContainsFunc(key, func(letter rune) bool { return letter <= ' ' || letter > '~' }) {
			c.refuse(configurationError("an idempotency key is 1 to 255 visible ASCII characters"))
		}
		c.idempotencyKey = key
	})
}

// WithResponse keeps the answer as it came, also that of an error.
func WithResponse(into *Response) CallOption {
	return callOption(func(c *callOptions) { c.response = into })
}

// WithOnUpdate calls f for each state of the job that [Client.WaitForBot] sees.
func WithOnUpdate(f func(*Job)) CallOption {
	return callOption(func(c *callOptions) { c.onUpdate = f })
}

// Progress is how far the download of a file has come.
type Progress struct {
	// Name is the file's name.
	Name string
	// Received is how many bytes are there.
	Received int64
	// Total is how many there will be; -1 while it is not known.
	Total int64
}

// WithOnProgress calls f after each piece of a download.
func WithOnProgress(f func(Progress)) CallOption {
	return callOption(func(c *callOptions) { c.onProgress = f })
}

// WithExpected checks the size and the SHA-256 of a download against the manifest's. [Client.DownloadArtifacts] does so by itself.
func WithExpected(file ManifestFile) CallOption {
	return callOption(func(c *callOptions) { c.expected = &file })
}

// WithoutWaitingForMix lets [Client.DownloadArtifacts] take the files that there are, and not wait for a mix that is still to be made.
func WithoutWaitingForMix() CallOption {
	return callOption(func(c *callOptions) { c.skipMix = true })
}

// Response is an answer as it came.
type Response struct {
	// Status is the HTTP status.
	Status int
	// Attempts is how many tries it took, this one included.
	Attempts int
	// Header has the headers.
	Header http.Header
	// Body is the whole body.
	Body []byte
	// RequestID is the request's id.
	RequestID string
}

// CallStarted is a call that is about to be made.
type CallStarted struct {
	// Method and Path are those of the request; the path is without its query.
	Method, Path string
	// Header has the headers, but for the key's; more may be added.
	Header http.Header
}

// CallEnded is a call that was made.
type CallEnded struct {
	// Method and Path are those of the request; the path is without its query.
	Method, Path string
	// RequestID is the request's id; empty where there was no answer.
	RequestID string
	// Duration is how long it took, all its tries and the pauses between them included.
	Duration time.Duration
	// Attempts is how many tries there were.
	Attempts int
	// Status is the HTTP status of the last answer; 0 where there was none.
	Status int
	// Err is why it failed.
	Err error
}

func (c *callOptions) refuse(wrong *Error) {
	if c.wrong == nil {
		c.wrong = wrong
	}
}

// with gives the options with these set too.
func (c callOptions) with(options []CallOption) callOptions {
	for _, option := range options {
		if option != nil {
			option.setCall(&c)
		}
	}
	return c
}
