package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"unicode/utf8"
)

// Read reads an object into the struct that target points to, which was empty before.
func Read(data []byte, target any) error {
	if err := valid(data); err != nil {
		return err
	}
	value := reflect.ValueOf(target).Elem()
	s := scanner{data: data}
	return s.object(value, planOf(value.Type()))
}

// Take reads those fields of a struct that are among these, and takes them away.
func Take(fields map[string]json.RawMessage, target any) error {
	value := reflect.ValueOf(target).Elem()
	p := planOf(value.Type())
	for i := range p.fields {
		f := &p.fields[i]
		raw, found := fields[f.name]
		if !found {
			continue
		}
		delete(fields, f.name)
		s := scanner{data: raw}
		if err := s.value(value.Field(f.index), f); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// ReadPage reads a page: take gets each element of its data as it came. It answers nextCursor.
func ReadPage(data []byte, take func(element []byte) error) (string, error) {
	if err := valid(data); err != nil {
		return "", err
	}
	s := scanner{data: data}
	found, next := false, ""
	err := s.members(func(name []byte) error {
		switch string(name) {
		case "data":
			found = true
			at := 0
			return s.list(func() error {
				if err := take(s.raw()); err != nil {
					return fmt.Errorf("data[%d]: %w", at, err)
				}
				at++
				return nil
			})
		case "nextCursor":
			if s.null() {
				return nil
			}
			var err error
			next, err = s.text()
			return err
		}
		s.raw()
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("data: %w", errMissing)
	}
	return next, err
}

func valid(data []byte) error {
	if json.Valid(data) {
		return nil
	}
	// Only to have its words about what is wrong.
	var nothing any
	return json.Unmarshal(data, &nothing)
}

// scanner goes over JSON that is known to be valid.
type scanner struct {
	data []byte
	at   int
}

var errMissing = errors.New("is missing")

func (s *scanner) wrong(wanted string) error {
	start := s.at
	found := s.raw()
	if len(found) > 60 {
		return fmt.Errorf("%s was to be there, and not %.60s…", wanted, s.data[start:])
	}
	return fmt.Errorf("%s was to be there, and not %s", wanted, found)
}

func (s *scanner) object(target reflect.Value, p *plan) error {
	var seen uint64
	err := s.members(func(name []byte) error {
		i, known := p.byName[string(name)]
		if !known {
			raw := s.raw()
			if p.extra >= 0 {
				kept := target.Field(p.extra)
				if kept.IsNil() {
					kept.Set(reflect.MakeMap(kept.Type()))
				}
				kept.Interface().(map[string]json.RawMessage)[string(name)] = bytes.Clone(raw)
			}
			return nil
		}
		f := &p.fields[i]
		if err := s.value(target.Field(f.index), f); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		seen |= 1 << i
		return nil
	})
	if err != nil {
		return err
	}
	for i := range p.fields {
		f := &p.fields[i]
		if f.required && (seen&(1<<i) == 0 || target.Field(f.index).IsZero()) {
			return fmt.Errorf("%s: %w", f.name, errMissing)
		}
	}
	return nil
}

func (s *scanner) value(target reflect.Value, f *field) error {
	if s.null() {
		target.SetZero()
		return nil
	}
	switch f.kind {
	case text:
		found, err := s.text()
		target.SetString(found)
		return err
	case flag:
		switch s.data[s.at] {
		case 't', 'f':
			target.SetBool(s.raw()[0] == 't')
			return nil
		}
		return s.wrong("true or false")
	case whole:
		number, err := s.whole()
		target.SetInt(number)
		return err
	case wholeOrNull:
		number, err := s.whole()
		target.Set(reflect.ValueOf(&number))
		return err
	case fraction:
		number, err := strconv.ParseFloat(string(s.peek()), 64)
		if err != nil {
			return s.wrong("a number")
		}
		s.raw()
		target.SetFloat(number)
		return nil
	case moment:
		found, err := s.text()
		if err != nil {
			return err
		}
		at, err := ParseTime(found)
		target.Set(reflect.ValueOf(at))
		return err
	case object:
		return s.object(target, f.plan)
	case objects:
		return s.list(func() error {
			target.Grow(1)
			target.SetLen(target.Len() + 1)
			return s.object(target.Index(target.Len()-1), f.plan)
		})
	case texts:
		return s.list(func() error {
			found, err := s.text()
			target.Set(reflect.Append(target, reflect.ValueOf(found).Convert(target.Type().Elem())))
			return err
		})
	case counts:
		found := map[string]int64{}
		target.Set(reflect.ValueOf(found))
		return s.members(func(name []byte) error {
			if s.null() {
				return nil
			}
			number, err := s.whole()
			found[string(name)] = number
			return err
		})
	case anything:
		if s.data[s.at] != '{' {
			return s.wrong("an object")
		}
		numbers := json.NewDecoder(bytes.NewReader(s.raw()))
		numbers.UseNumber()
		return numbers.Decode(target.Addr().Interface())
	default:
		return target.Addr().Interface().(reader).ReadWire(s.raw())
	}
}

// null goes over null, where that comes next.
func (s *scanner) null() bool {
	s.space()
	if s.data[s.at] != 'n' {
		return false
	}
	s.at += len("null")
	return true
}

func (s *scanner) text() (string, error) {
	s.space()
	if s.data[s.at] != '"' {
		return "", s.wrong("a text")
	}
	raw := s.raw()
	if inner := raw[1 : len(raw)-1]; plain(inner) {
		return string(inner), nil
	}
	var found string
	err := json.Unmarshal(raw, &found)
	return found, err
}

// plain says whether a text is as it stands between its quotes.
func plain(inner []byte) bool {
	for _, letter := range inner {
		if letter == '\\' || letter >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// whole reads a number of things: none is negative, and none is a fraction.
func (s *scanner) whole() (int64, error) {
	number, err := strconv.ParseUint(string(s.peek()), 10, 63)
	if err != nil {
		return 0, s.wrong("a whole number")
	}
	s.raw()
	return int64(number), nil
}

// members calls take with the scanner before the value of each member, which take has to read.
func (s *scanner) members(take func(name []byte) error) error {
	s.space()
	if s.data[s.at] != '{' {
		return s.wrong("an object")
	}
	s.at++
	for {
		s.space()
		switch s.data[s.at] {
		case '}':
			s.at++
			return nil
		case ',':
			s.at++
			continue
		}
		raw := s.raw()
		name := raw[1 : len(raw)-1]
		if !plain(name) {
			var unescaped string
			if err := json.Unmarshal(raw, &unescaped); err != nil {
				return err
			}
			name = []byte(unescaped)
		}
		s.space()
		// The colon.
		s.at++
		if err := take(name); err != nil {
			return err
		}
	}
}

// list calls take with the scanner before each element, which take has to read.
func (s *scanner) list(take func() error) error {
	s.space()
	if s.data[s.at] != '[' {
		return s.wrong("a list")
	}
	s.at++
	for {
		s.space()
		switch s.data[s.at] {
		case ']':
			s.at++
			return nil
		case ',':
			s.at++
			continue
		}
		if err := take(); err != nil {
			return err
		}
	}
}

// peek gives the value that comes next.
func (s *scanner) peek() []byte {
	at := s.at
	raw := s.raw()
	s.at = at
	return raw
}

// raw goes over a value, and gives its text.
func (s *scanner) raw() []byte {
	s.space()
	start, depth := s.at, 0
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case '"':
			for s.at++; s.data[s.at] != '"'; s.at++ {
				if s.data[s.at] == '\\' {
					s.at++
				}
			}
			s.at++
		case '{', '[':
			depth++
			s.at++
			continue
		case '}', ']':
			depth--
			s.at++
		case ' ', '\t', '\n', '\r', ',', ':':
			s.at++
			continue
		default:
			for s.at < len(s.data) && !ends(s.data[s.at]) {
				s.at++
			}
		}
		if depth == 0 {
			return s.data[start:s.at]
		}
	}
	return s.data[start:]
}

// ends says whether a number or a word ends before this byte.
func ends(letter byte) bool {
	switch letter {
	case ',', '}', ']', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}
