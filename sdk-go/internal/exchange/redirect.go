package exchange

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// maxRedirects is the most redirects that one try follows.
const maxRedirects = 5

// follow sends the request. The redirects of an artifact are followed, without the key, since its bytes may lie behind a signed URL elsewhere. Any other redirect
// is returned as the answer.
func (e *Exchange) follow(parent, ctx context.Context, request *http.Request) (*http.Response, *Failure) {
	areFollowed := e.isArtifact(request)
	for redirects := 0; ; redirects++ {
		response, failure := e.send(parent, ctx, request)
		if failure != nil {
			return nil, failure
		}
		next := target(request.URL, response)
		if next == nil || !areFollowed {
			return response, nil
		}
		response.Body.Close()
		if redirects == maxRedirects {
			message := fmt.Sprintf("more than %d redirects, the last to %s", maxRedirects, e.shown(next))
			return nil, &Failure{Reason: Redirected, Message: message, Answer: &Answer{Status: response.StatusCode, Header: response.Header}}
		}
		request = redirectedRequest(ctx, request, next)
	}
}

// isArtifact reports whether a request is for a file of a recording.
func (e *Exchange) isArtifact(request *http.Request) bool {
	matches, err := path.Match("/api/v1/jobs/*/artifacts/*", strings.TrimPrefix(request.URL.EscapedPath(), e.Path))
	return err == nil && matches && request.Method == http.MethodGet
}

// redirectedRequest returns the request to the target of a redirect, without the key and without headers that the caller added for the server.
func redirectedRequest(ctx context.Context, request *http.Request, next *url.URL) *http.Request {
	redirected := request.Clone(ctx)
	redirected.URL, redirected.Host, redirected.Header = next, next.Host, http.Header{}
	for _, name := range []string{"Accept", "Range", "User-Agent"} {
		if value := request.Header.Get(name); value != "" {
			redirected.Header.Set(name, value)
		}
	}
	return redirected
}

// target returns the URL that an answer redirects to; nil if it cannot be followed.
func target(from *url.URL, response *http.Response) *url.URL {
	if response.StatusCode < 300 || response.StatusCode > 399 {
		return nil
	}
	next, err := response.Location()
	if err != nil || (next.Scheme != "http" && next.Scheme != "https") || next.Host == "" || next.User != nil {
		return nil
	}
	// Over TLS the same server would refuse the request without the key, with a misleading error: the base URL is wrong.
	if from.Scheme == "http" && next.Scheme == "https" && from.Hostname() == next.Hostname() && from.Path == next.Path {
		return nil
	}
	return next
}
