package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// Read reads an object into the struct that target points to, which was empty before.
func Read(data []byte, target any) error {
	value := reflect.ValueOf(target).Elem()
	s := scanner{data: data}
	if err := s.object(value, planOf(value.Type())); err != nil {
		return err
	}
	return s.end()
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
	s := scanner{data: data}
	found, next := false, ""
	err := s.members(func(name []byte) (err error) {
		switch string(name) {
		case "data":
			found = true
			at := 0
			return s.list(func() error {
				raw, err := s.raw()
				if err == nil {
					err = take(raw)
				}
				if err != nil {
					return fmt.Errorf("data[%d]: %w", at, err)
				}
				at++
				return nil
			})
		case "nextCursor":
			if s.next() == 'n' {
				return s.literal("null")
			}
			next, err = s.text()
			return err
		}
		return s.skip()
	})
	if err == nil && !found {
		err = fmt.Errorf("data: %w", errMissing)
	}
	if err == nil {
		err = s.end()
	}
	return next, err
}

var errMissing = errors.New("is missing")

func (s *scanner) wrong(wanted string) error {
	found, err := s.raw()
	switch {
	case err != nil:
		return err
	case len(found) > 60:
		return fmt.Errorf("%s was to be there, and not %.60s…", wanted, found)
	}
	return fmt.Errorf("%s was to be there, and not %s", wanted, found)
}

func (s *scanner) object(target reflect.Value, p *plan) error {
	var seen uint64
	err := s.members(func(name []byte) error {
		i, known := p.byName[string(name)]
		if !known {
			raw, err := s.raw()
			if err != nil || p.extra < 0 {
				return err
			}
			kept := target.Field(p.extra)
			if kept.IsNil() {
				kept.Set(reflect.MakeMap(kept.Type()))
			}
			kept.Interface().(map[string]json.RawMessage)[string(name)] = bytes.Clone(raw)
			return nil
		}
		f := &p.fields[i]
		if seen&(1<<i) != 0 {
			// It is there twice: the last one counts, as in encoding/json.
			target.Field(f.index).SetZero()
		}
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
	next := s.next()
	if next == 'n' {
		target.SetZero()
		return s.literal("null")
	}
	switch f.kind {
	case text:
		found, err := s.text()
		target.SetString(found)
		return err
	case flag:
		found, err := s.flag(next)
		target.SetBool(found)
		return err
	case flagOrNull:
		found, err := s.flag(next)
		target.Set(reflect.ValueOf(&found))
		return err
	case whole:
		number, err := s.whole()
		target.SetInt(number)
		return err
	case wholeOrNull:
		number, err := s.whole()
		target.Set(reflect.ValueOf(&number))
		return err
	case fraction:
		if next != '-' && (next < '0' || next > '9') {
			return s.wrong("a number")
		}
		raw, err := s.raw()
		if err != nil {
			return err
		}
		number, err := strconv.ParseFloat(string(raw), 64)
		target.SetFloat(number)
		return err
	case moment:
		found, err := s.text()
		if err != nil {
			return err
		}
		// Not by reflect.ValueOf, which would copy it to the heap first.
		at := target.Addr().Interface().(*time.Time)
		*at, err = ParseTime(found)
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
			if s.next() == 'n' {
				return s.literal("null")
			}
			number, err := s.whole()
			found[string(name)] = number
			return err
		})
	case anything:
		found := map[string]any{}
		target.Set(reflect.ValueOf(found))
		return s.any(found)
	default:
		raw, err := s.raw()
		if err != nil {
			return err
		}
		return target.Addr().Interface().(reader).ReadWire(raw)
	}
}

// any reads an object as encoding/json does with UseNumber.
func (s *scanner) any(into map[string]any) error {
	return s.members(func(name []byte) error {
		value, err := s.anyValue()
		into[string(name)] = value
		return err
	})
}

func (s *scanner) anyValue() (any, error) {
	switch s.next() {
	case '{':
		found := map[string]any{}
		return found, s.any(found)
	case '[':
		found := []any{}
		err := s.list(func() error {
			value, err := s.anyValue()
			found = append(found, value)
			return err
		})
		return found, err
	case '"':
		return s.text()
	case 't':
		return true, s.literal("true")
	case 'f':
		return false, s.literal("false")
	case 'n':
		return nil, s.literal("null")
	}
	raw, err := s.raw()
	return json.Number(raw), err
}

func (s *scanner) flag(next byte) (bool, error) {
	switch next {
	case 't':
		return true, s.literal("true")
	case 'f':
		return false, s.literal("false")
	}
	return false, s.wrong("true or false")
}

func (s *scanner) text() (string, error) {
	if s.next() != '"' {
		return "", s.wrong("a text")
	}
	raw, plain, err := s.quoted()
	if err != nil {
		return "", err
	}
	if plain {
		return string(raw[1 : len(raw)-1]), nil
	}
	var found string
	err = json.Unmarshal(raw, &found)
	return found, err
}

// whole reads a number of things: none is negative, and none is a fraction.
func (s *scanner) whole() (int64, error) {
	at := s.at
	raw, err := s.raw()
	if err != nil {
		return 0, err
	}
	number, err := strconv.ParseUint(string(raw), 10, 63)
	if err != nil {
		s.at = at
		return 0, s.wrong("a whole number")
	}
	return int64(number), nil
}
