package wire

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Write writes a struct as an object: every field that is known, null where there is none, and those that were kept.
func Write(source any) ([]byte, error) {
	written, err := members([]byte{'{'}, reflect.ValueOf(source))
	return append(written, '}'), err
}

// WriteWith is Write with the fields of another struct in the same object; nil is none.
func WriteWith(source, more any) ([]byte, error) {
	written, err := members([]byte{'{'}, reflect.ValueOf(source))
	if value := reflect.ValueOf(more); err == nil && value.IsValid() && !value.IsNil() {
		written, err = members(written, value.Elem())
	}
	return append(written, '}'), err
}

func members(to []byte, source reflect.Value) ([]byte, error) {
	p := planOf(source.Type())
	var err error
	for i := range p.fields {
		f := &p.fields[i]
		to = quoted(comma(to), f.name)
		to = append(to, ':')
		if to, err = appendValue(to, source.Field(f.index), f); err != nil {
			return to, err
		}
	}
	if p.extra < 0 {
		return to, nil
	}
	kept := source.Field(p.extra).Interface().(map[string]json.RawMessage)
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		if _, known := p.byName[name]; known {
			continue
		}
		to = append(quoted(comma(to), name), ':')
		to = append(to, kept[name]...)
	}
	return to, nil
}

func comma(to []byte) []byte {
	switch to[len(to)-1] {
	case '{', '[':
		return to
	}
	return append(to, ',')
}

func appendValue(to []byte, source reflect.Value, f *field) ([]byte, error) {
	var err error
	switch f.kind {
	case text:
		if source.Len() == 0 {
			return append(to, "null"...), nil
		}
		return quoted(to, source.String()), nil
	case flag:
		return strconv.AppendBool(to, source.Bool()), nil
	case flagOrNull:
		if source.IsNil() {
			return append(to, "null"...), nil
		}
		return strconv.AppendBool(to, source.Elem().Bool()), nil
	case whole:
		if f.nullable && source.Int() == 0 {
			return append(to, "null"...), nil
		}
		return strconv.AppendInt(to, source.Int(), 10), nil
	case wholeOrNull:
		if source.IsNil() {
			return append(to, "null"...), nil
		}
		return strconv.AppendInt(to, source.Elem().Int(), 10), nil
	case moment:
		at := source.Interface().(time.Time)
		if at.IsZero() {
			return append(to, "null"...), nil
		}
		return append(append(append(to, '"'), FormatTime(at)...), '"'), nil
	case object:
		to, err = members(append(to, '{'), source)
		return append(to, '}'), err
	case objects:
		to = append(to, '[')
		for i := range source.Len() {
			if to, err = members(append(comma(to), '{'), source.Index(i)); err != nil {
				return to, err
			}
			to = append(to, '}')
		}
		return append(to, ']'), nil
	case texts:
		to = append(to, '[')
		for i := range source.Len() {
			to = quoted(comma(to), source.Index(i).String())
		}
		return append(to, ']'), nil
	case counts, anything:
		if source.IsNil() {
			return append(to, "{}"...), nil
		}
	}
	written, err := marshal(source.Interface())
	return append(to, written...), err
}

// marshal is json.Marshal that leaves <, > and & as they are.
func marshal(value any) ([]byte, error) {
	var written bytes.Buffer
	encoder := json.NewEncoder(&written)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(written.Bytes(), []byte{'\n'}), err
}

func quoted(to []byte, text string) []byte {
	for i := range len(text) {
		if letter := text[i]; letter < ' ' || letter >= 0x80 || letter == '"' || letter == '\\' {
			written, _ := marshal(text)
			return append(to, written...)
		}
	}
	return append(append(append(to, '"'), text...), '"')
}
