package meetbot_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
)

// reply answers one request on its connection; whether another one is read from it.
type reply func(conn net.Conn, request *http.Request) (more bool)

// memory is a server at the other end of connections in memory, for the tests of what takes time: within a bubble of synctest such connections
// are waited for as timers are, and a process or a socket is not. Its replies are given in turn, the last one from then on.
type memory struct {
	mutex    sync.Mutex
	replies  []reply
	requests []*http.Request
	working  sync.WaitGroup
}

// serve answers the requests of a connection.
func (m *memory) serve(conn net.Conn) {
	defer conn.Close()
	for reader := bufio.NewReader(conn); ; {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, request.Body)
		m.mutex.Lock()
		m.requests = append(m.requests, request)
		answer := m.replies[0]
		if len(m.replies) > 1 {
			m.replies = m.replies[1:]
		}
		m.mutex.Unlock()
		if !answer(conn, request) {
			return
		}
	}
}

// heard are the requests so far.
func (m *memory) heard() []*http.Request {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return append([]*http.Request(nil), m.requests...)
}

// dial connects to it.
func (m *memory) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	m.working.Go(func() { m.serve(theirs) })
	return ours, nil
}

// inMemory gives a client of such a server.
func inMemory(t *testing.T, replies []reply, options ...meetbot.Option) (*meetbot.Client, *memory) {
	t.Helper()
	m := &memory{replies: replies}
	transport := &http.Transport{DialContext: m.dial, MaxResponseHeaderBytes: 1 << 20, MaxIdleConnsPerHost: 10}
	mb := client(t, "http://meetbot.test", append([]meetbot.Option{meetbot.WithHTTPClient(&http.Client{Transport: transport})}, options...)...)
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		m.working.Wait()
	})
	return mb, m
}

// text answers with this, and takes more requests.
func text(answer string) reply {
	return func(conn net.Conn, _ *http.Request) bool {
		_, err := io.WriteString(conn, strings.ReplaceAll(answer, "\n", "\r\n"))
		return err == nil
	}
}

// cut answers with this, and closes the connection.
func cut(answer string) reply {
	return func(conn net.Conn, request *http.Request) bool { text(answer)(conn, request); return false }
}

// hang answers with this, and nothing more, until the other side has closed the connection.
func hang(answer string) reply {
	return func(conn net.Conn, request *http.Request) bool {
		text(answer)(conn, request)
		_, _ = io.Copy(io.Discard, conn)
		return false
	}
}

func json200(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: %d\n\n%s", len(body), body)
}

func withBody(status, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\nContent-Length: %d\n\n%s", status, len(body), body)
}

const page = "<html>a proxy's page</html>"
