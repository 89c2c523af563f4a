package meetbot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/api"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/exchange"
)

// anyFile is what a download accepts.
const anyFile = "*/*"

// Artifact gives a recorded file, of at most 64 MiB: [Client.DownloadArtifact] writes larger ones.
func (c *Client) Artifact(ctx context.Context, jobID, name string, options ...CallOption) ([]byte, error) {
	file, err := c.OpenArtifact(ctx, jobID, name, options...)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(io.LimitReader(file, exchange.MaxAnswer+1)); err != nil {
		return nil, err
	}
	if body.Len() > exchange.MaxAnswer {
		return nil, &Error{Kind: ErrDecode, Message: name + " is larger than 64 MiB: DownloadArtifact can write it", Attempts: 1}
	}
	return body.Bytes(), nil
}

// DownloadArtifact writes a recorded file to a writer, and answers its size. A connection that breaks is taken up where it broke. An error of the writer's is
// [ErrFile], with itself as the cause.
func (c *Client) DownloadArtifact(ctx context.Context, jobID, name string, to io.Writer, options ...CallOption) (int64, error) {
	if to == nil {
		return 0, configurationError("there is nothing to write %s to", name)
	}
	file, err := c.OpenArtifact(ctx, jobID, name, options...)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	target := &target{Writer: to}
	written, err := io.Copy(target, file)
	if target.err != nil {
		err = &Error{Kind: ErrFile, Message: name + " cannot be written: " + target.err.Error(), Err: target.err}
	}
	return written, err
}

// target keeps the writer's error apart from the reader's.
type target struct {
	io.Writer
	err error
}

func (t *target) Write(piece []byte) (int, error) {
	n, err := t.Writer.Write(piece)
	if err == nil && n < len(piece) {
		err = io.ErrShortWrite
	}
	t.err = err
	return n, err
}

// OpenArtifact opens a recorded file for reading; [ErrNotFound] where there is none. A connection that breaks is taken up where it broke. With [WithExpected] the
// last read is an error where size or SHA-256 differ.
func (c *Client) OpenArtifact(ctx context.Context, jobID, name string, options ...CallOption) (io.ReadCloser, error) {
	if _, wrong := c.prepare(ctx, options); wrong != nil {
		return nil, wrong
	}
	d := &download{ctx: ctx, client: c, jobID: jobID, name: name, settings: c.options.with(options), options: options, expected: -1, said: -1, hash: sha256.New()}
	if expected := d.settings.expected; expected != nil && expected.Bytes != nil {
		d.expected = *expected.Bytes
	}
	if err := d.connect(); err != nil {
		return nil, err
	}
	return d, nil
}

// download reads one file, over as many connections as it takes.
type download struct {
	ctx      context.Context
	client   *Client
	jobID    string
	name     string
	settings callOptions
	options  []CallOption
	stream   *exchange.Stream
	// received is how much is there, and begun how much was there when this connection began.
	received, begun int64
	// expected is the size of the whole by the manifest, said that by the answers so far; -1 while they do not say it.
	expected, said int64
	// piece is what the answer of this connection says of itself.
	piece piece
	hash  hash.Hash
	// tried counts the connections that have ended since the last byte came.
	tried int
	// done is what reads give from now on.
	done error
}

// Read reads the next bytes.
func (d *download) Read(to []byte) (int, error) {
	for d.done == nil && len(to) > 0 {
		n, err := d.stream.Read(to)
		if n > 0 && !d.piece.reaches(d.received+int64(n)) {
			d.done = d.unlike(&Error{Message: d.name + ": the server sent more than it said"})
			break
		}
		if n > 0 {
			d.take(to[:n])
			return n, nil
		}
		if err == nil {
			continue
		}
		d.done = d.ended(err)
	}
	if len(to) == 0 && d.done == nil {
		return 0, nil
	}
	return 0, d.done
}

// Close ends the connection.
func (d *download) Close() error {
	if d.stream != nil {
		return d.stream.Close()
	}
	return nil
}

func (d *download) take(piece []byte) {
	d.hash.Write(piece)
	d.received += int64(len(piece))
	d.tried = 0
	if d.settings.onProgress != nil {
		d.settings.onProgress(Progress{Name: d.name, Received: d.received, Total: d.piece.total})
	}
}

// ended says what follows from the end of a connection: nil where another one goes on.
func (d *download) ended(err error) error {
	var failure *exchange.Failure
	switch {
	case err == io.EOF && d.piece.completes(d.received):
		return d.checked()
	case err == io.EOF && d.received > d.begun:
		// A server may give less than was asked for.
		d.stream.Close()
		return d.connect()
	case err == io.EOF:
		failure = &exchange.Failure{Reason: exchange.Disconnected, Message: fmt.Sprintf("%s broke off after %d of %d bytes", d.name, d.received, d.piece.total), Err: io.ErrUnexpectedEOF}
	case !errors.As(err, &failure):
		return err
	case d.piece.total == d.received:
		// All that was said has come.
		return d.checked()
	}
	d.stream.Close()
	if wrong := d.again(d.client.core.failureError(failure)); wrong != nil {
		return wrong
	}
	return d.connect()
}

// checked is the end of the file: an error where it is not what was expected.
func (d *download) checked() error {
	expected := d.settings.expected
	if expected == nil {
		return io.EOF
	}
	found := hex.EncodeToString(d.hash.Sum(nil))
	switch {
	case expected.Bytes != nil && d.received != *expected.Bytes:
		return d.unlike(&Error{Message: fmt.Sprintf("%s is not what the manifest says: %d bytes, not %d", d.name, d.received, *expected.Bytes)})
	case expected.SHA256 != "" && !strings.EqualFold(found, expected.SHA256):
		return d.unlike(&Error{Message: fmt.Sprintf("%s is not what the manifest says: SHA-256 %s, not %s", d.name, found, expected.SHA256)})
	}
	return io.EOF
}

// unlike makes an error that of an answer that is not what it should be, in the connection after those that have ended.
func (d *download) unlike(e *Error) *Error {
	e.Kind, e.Attempts = ErrDecode, d.tried+1
	return e
}

// again waits before the next connection; it gives the error where there have been enough.
func (d *download) again(wrong *Error) error {
	d.tried++
	p := patience{tried: d.tried - 1, most: d.settings.maxRetries}
	wait, again := p.again(wrong, rand.Float64())
	if !again {
		if wrong.Kind != ErrConfiguration {
			wrong.Attempts = d.tried
		}
		return wrong
	}
	if given := d.client.core.exchange.Sleep(d.ctx, wait); given != nil {
		return d.client.core.failureError(given)
	}
	return nil
}

// connect opens the connection that goes on from the bytes that are there.
func (d *download) connect() error {
	for {
		params := &api.GetArtifactParams{}
		if d.received > 0 {
			params.Range = set(fmt.Sprintf("bytes=%d-", d.received))
		}
		stream, wrong := d.client.open(d.ctx, d.options, anyFile, d.settings.timeout, func(to *api.Client) (*http.Response, error) {
			return to.GetArtifact(d.ctx, d.jobID, d.name, params)
		})
		if wrong == nil {
			d.stream = stream
			return d.goOn()
		}
		if wrong.Status == http.StatusRequestedRangeNotSatisfiable && d.received > 0 {
			return d.unlike(&Error{Status: wrong.Status, Message: fmt.Sprintf("%s ends after %d bytes, of which the server now has fewer", d.name, d.received)})
		}
		if err := d.again(wrong); err != nil {
			return err
		}
	}
}

// goOn checks that the answer goes on where the last one broke.
func (d *download) goOn() error {
	read, err := readPiece(d.expected, d.said, d.received, d.stream.Status, d.stream.Header)
	if err != nil {
		d.stream.Close()
		return d.unlike(&Error{Status: d.stream.Status, Message: d.name + ": " + d.client.core.redact(err.Error()), Err: err})
	}
	d.piece, d.said, d.begun = read, read.total, d.received
	if d.received > 0 && read.anew {
		return d.passOver()
	}
	return nil
}

// passOver reads what is there already, of a server without ranges, and checks that it is the same.
func (d *download) passOver() error {
	prefix := sha256.New()
	n, err := io.CopyN(prefix, d.stream, d.received)
	switch {
	case err != nil && n < d.received && !errors.Is(err, io.EOF):
		return d.ended(err)
	case !bytes.Equal(prefix.Sum(nil), d.hash.Sum(nil)):
		d.stream.Close()
		return d.unlike(&Error{Message: d.name + " has become another file while it was read"})
	}
	return nil
}
