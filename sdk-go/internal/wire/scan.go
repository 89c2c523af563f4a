package wire

import (
	"encoding/json"
	"errors"
	"fmt"
)

// mostDepth is how deep values may lie in one another, as in encoding/json: a body of brackets alone is no reason to run out of memory.
const mostDepth = 10_000

var errDepth = errors.New("the values lie too deep in one another")

// scanner goes over JSON, and takes what encoding/json takes. It reads a text once, where json.Valid before it would make that twice.
type scanner struct {
	data  []byte
	at    int
	depth int
}

// next is the first byte of what comes next; 0 at the end.
func (s *scanner) next() byte {
	for ; s.at < len(s.data); s.at++ {
		switch s.data[s.at] {
		case ' ', '\t', '\n', '\r':
		default:
			return s.data[s.at]
		}
	}
	return 0
}

// end says whether there is nothing more.
func (s *scanner) end() error {
	if s.next(); s.at < len(s.data) {
		return s.syntax("the end")
	}
	return nil
}

func (s *scanner) syntax(wanted string) error {
	if s.at >= len(s.data) {
		return fmt.Errorf("it is no JSON: it breaks off where %s was to be", wanted)
	}
	return fmt.Errorf("it is no JSON: %q at byte %d, where %s was to be", s.data[s.at], s.at, wanted)
}

// raw goes over a value, and gives its text.
func (s *scanner) raw() ([]byte, error) {
	s.next()
	start := s.at
	err := s.skip()
	return s.data[start:s.at], err
}

// skip goes over a value.
func (s *scanner) skip() error {
	switch s.next() {
	case '{':
		return s.members(func([]byte) error { return s.skip() })
	case '[':
		return s.list(s.skip)
	case '"':
		_, _, err := s.quoted()
		return err
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.number()
}

func (s *scanner) literal(word string) error {
	for i := range len(word) {
		if s.at >= len(s.data) || s.data[s.at] != word[i] {
			return s.syntax(word)
		}
		s.at++
	}
	return nil
}

// digits goes over the digits that come next, of which there has to be one.
func (s *scanner) digits() error {
	start := s.at
	for s.at < len(s.data) && s.data[s.at] >= '0' && s.data[s.at] <= '9' {
		s.at++
	}
	if s.at == start {
		return s.syntax("a digit")
	}
	return nil
}

// has goes over the byte, where it comes next.
func (s *scanner) has(letter byte) bool {
	if s.at >= len(s.data) || s.data[s.at] != letter {
		return false
	}
	s.at++
	return true
}

func (s *scanner) number() error {
	if !s.has('-') && (s.at >= len(s.data) || s.data[s.at] < '0' || s.data[s.at] > '9') {
		return s.syntax("a value")
	}
	if !s.has('0') {
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.has('.') {
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.has('e') || s.has('E') {
		if !s.has('+') {
			s.has('-')
		}
		return s.digits()
	}
	return nil
}

// quoted goes over a text, and gives it with its quotes; plain says that it is as it stands between them.
func (s *scanner) quoted() (raw []byte, plain bool, err error) {
	start := s.at
	plain = true
	for s.at++; s.at < len(s.data); s.at++ {
		switch letter := s.data[s.at]; {
		case letter == '"':
			s.at++
			return s.data[start:s.at], plain, nil
		case letter == '\\':
			plain = false
			if err := s.escape(); err != nil {
				return nil, false, err
			}
		case letter < ' ':
			return nil, false, s.syntax("a letter of a text")
		case letter >= 0x80:
			plain = false
		}
	}
	return nil, false, s.syntax("the end of a text")
}

// escape goes over a backslash and what belongs to it, but for its last byte.
func (s *scanner) escape() error {
	s.at++
	if s.at >= len(s.data) {
		return s.syntax("an escape")
	}
	switch s.data[s.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.at++
			if s.at >= len(s.data) || !isHex(s.data[s.at]) {
				return s.syntax("a hex digit")
			}
		}
		return nil
	}
	return s.syntax("an escape")
}

func isHex(letter byte) bool {
	return letter >= '0' && letter <= '9' || letter >= 'a' && letter <= 'f' || letter >= 'A' && letter <= 'F'
}

// members calls take with the scanner before the value of each member, which take has to read.
func (s *scanner) members(take func(name []byte) error) error {
	if s.next() != '{' {
		return s.wrong("an object")
	}
	return s.elements('}', func() error {
		if s.next() != '"' {
			return s.syntax("a name")
		}
		raw, plain, err := s.quoted()
		if err != nil {
			return err
		}
		name := raw[1 : len(raw)-1]
		if !plain {
			var unescaped string
			if err := json.Unmarshal(raw, &unescaped); err != nil {
				return err
			}
			name = []byte(unescaped)
		}
		if s.next() != ':' {
			return s.syntax("a colon")
		}
		s.at++
		return take(name)
	})
}

// list calls take with the scanner before each element, which take has to read.
func (s *scanner) list(take func() error) error {
	if s.next() != '[' {
		return s.wrong("a list")
	}
	return s.elements(']', take)
}

// elements calls take for what stands between brackets, with commas in between.
func (s *scanner) elements(last byte, take func() error) error {
	s.at++
	if s.depth++; s.depth > mostDepth {
		return errDepth
	}
	if s.next() != last {
		for {
			if err := take(); err != nil {
				return err
			}
			if s.next() != ',' {
				break
			}
			s.at++
		}
		if s.next() != last {
			return s.syntax("a comma or an end")
		}
	}
	s.at++
	s.depth--
	return nil
}
