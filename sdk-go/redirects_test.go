package meetbot

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// roundTrip is a transport.
type roundTrip func(*http.Request) *http.Response

func (r roundTrip) RoundTrip(request *http.Request) (*http.Response, error) { return r(request), nil }

func redirectsHold(t *testing.T) {
	type vector struct {
		Name, Method, Path string
		Redirects          []struct {
			Status   int
			Location *string
		}
		Asked []string
		Error *struct {
			Status  int
			Message string
		}
	}
	file := vectors[struct {
		BaseURL string
		Cases   []vector
	}](t, "redirects")
	for _, c := range file.Cases {
		asked := []string{}
		server := func(request *http.Request) *http.Response {
			answer := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("elsewhere")), Request: request}
			isFirst := len(asked) == 0
			if at := len(asked); at < len(c.Redirects) {
				answer.StatusCode = c.Redirects[at].Status
				if location := c.Redirects[at].Location; location != nil {
					answer.Header.Set("Location", *location)
				}
			}
			asked = append(asked, request.URL.String())
			sent := map[string]bool{"Authorization": isFirst, "X-Team": isFirst, "Accept": true, "Range": true, "User-Agent": true, "Cookie": false}
			for name, wanted := range sent {
				if found := request.Header.Get(name) != ""; found != wanted {
					t.Errorf("%s: %s: %v", c.Name, name, request.Header)
				}
			}
			return answer
		}
		mb, err := NewClient(WithAPIKey(testKey), WithBaseURL(file.BaseURL), WithHTTPClient(&http.Client{Transport: roundTrip(server)}))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := mb.Request(t.Context(), c.Method, c.Path, nil, WithHeader("Range", "bytes=0-9"), WithHeader("X-Team", "a"))
		var found *Error
		switch {
		case c.Error == nil && (err != nil || string(answer.Body) != "elsewhere"):
			t.Errorf("%s: %v", c.Name, err)
		case c.Error != nil && (!errors.As(err, &found) || found.Kind != ErrUnexpectedStatus || found.Status != c.Error.Status || found.Attempts != 1 || !strings.Contains(found.Message, c.Error.Message)):
			t.Errorf("%s: %v", c.Name, err)
		case found != nil && (strings.Contains(fmt.Sprintf("%v %+v", found, found.Err), "Signature") || !strings.HasPrefix(found.Message, "more than") && string(found.Body) != "elsewhere"):
			t.Errorf("%s: %v: %q", c.Name, err, found.Body)
		}
		if !slices.Equal(asked[1:], c.Asked) {
			t.Errorf("%s: %v", c.Name, asked)
		}
	}
}
