// Package sse puts events together from the bytes of a stream (the HTML standard, "Server-sent events").
package sse

import (
	"bytes"
	"errors"
	"strings"
)

// MaxEvent is how large an event may be.
const MaxEvent = 1 << 20

// mark may stand before a stream; it is no part of it.
const mark = "\xef\xbb\xbf"

// ErrTooLarge is the error of an event that is larger than that.
var ErrTooLarge = errors.New("an event of the stream is larger than 1 MiB")

// Parser takes a stream in any pieces. Its zero value is at the beginning of one.
type Parser struct {
	// LastID is the id that the next connection goes on from.
	LastID string

	rest  []byte
	id    string
	data  strings.Builder
	any   bool
	begun bool
	// cr: the last line ended in a carriage return, whose line feed may be still to come.
	cr bool
}

// Feed gives the data of all events that are whole after these bytes.
func (p *Parser) Feed(piece []byte) ([]string, error) {
	var events []string
	p.rest = append(p.rest, piece...)
	rest := p.rest
	if !p.begun {
		if len(rest) < len(mark) {
			return nil, nil
		}
		p.begun, rest = true, bytes.TrimPrefix(rest, []byte(mark))
	}
	for len(rest) > 0 {
		if p.cr && rest[0] == '\n' {
			p.cr, rest = false, rest[1:]
			continue
		}
		end := bytes.IndexAny(rest, "\r\n")
		if end < 0 {
			break
		}
		p.cr = rest[end] == '\r'
		if p.line(string(rest[:end])) {
			events = append(events, p.data.String())
			p.data.Reset()
			p.any = false
		}
		rest = rest[end+1:]
	}
	p.rest = append(p.rest[:0], rest...)
	if len(p.rest)+p.data.Len() > MaxEvent {
		return events, ErrTooLarge
	}
	return events, nil
}

// line takes a line, and says whether an event is whole with it.
func (p *Parser) line(line string) bool {
	if line == "" {
		p.LastID = p.id
		return p.any
	}
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "data":
		if p.any {
			p.data.WriteByte('\n')
		}
		p.any = true
		p.data.WriteString(value)
	case "id":
		// The standard passes over NUL; what no header can hold could not be sent back either.
		if !strings.ContainsFunc(value, func(letter rune) bool { return letter < ' ' || letter == 0x7f }) {
			p.id = value
		}
	}
	return false
}

// Again gives a parser for the next connection: half an event of this one is none.
func (p *Parser) Again() Parser { return Parser{LastID: p.LastID, id: p.LastID} }
