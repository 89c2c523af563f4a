// Package wire reads and writes the API's JSON by the rule of spec/README.md: what is required has to be there, what is missing or null reads as the zero
// value, a value of another type is an error, and fields that are not known are kept.
//
// encoding/json cannot do that: it takes names in any case, turns null into nothing at all, and drops what it does not know.
package wire

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"
)

// kind says how a field is read and written.
type kind int

const (
	text kind = iota
	flag
	flagOrNull
	whole
	wholeOrNull
	fraction
	moment
	object
	objects
	texts
	counts
	anything
	custom
)

// field is one field of a struct.
type field struct {
	name     string
	index    int
	kind     kind
	required bool
	// nullable writes 0 as null.
	nullable bool
	// plan is that of the object, or of the objects in the list.
	plan *plan
}

// plan says how a struct is read and written.
type plan struct {
	fields []field
	byName map[string]int
	// extra is the index of the field that keeps what is not known; -1 where there is none.
	extra int
}

// plans are made once per type.
var plans sync.Map

// reader is a type that reads itself, because its fields depend on each other.
type reader interface {
	ReadWire(data []byte) error
}

var (
	readerType = reflect.TypeFor[reader]()
	timeType   = reflect.TypeFor[time.Time]()
	extraType  = reflect.TypeFor[map[string]json.RawMessage]()
)

func planOf(t reflect.Type) *plan {
	if made, ok := plans.Load(t); ok {
		return made.(*plan)
	}
	made := newPlan(t)
	plans.Store(t, made)
	return made
}

func newPlan(t reflect.Type) *plan {
	made := &plan{byName: map[string]int{}, extra: -1}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Type == extraType {
			made.extra = i
		}
		if name == "" || name == "-" {
			continue
		}
		options := f.Tag.Get("wire")
		one := field{name: name, index: i, required: options == "required", nullable: options == "null"}
		one.kind, one.plan = kindOf(f.Type)
		made.byName[name] = len(made.fields)
		made.fields = append(made.fields, one)
	}
	return made
}

func kindOf(t reflect.Type) (kind, *plan) {
	switch t.Kind() {
	case reflect.String:
		return text, nil
	case reflect.Bool:
		return flag, nil
	case reflect.Int, reflect.Int64:
		return whole, nil
	case reflect.Float64:
		return fraction, nil
	case reflect.Pointer:
		switch t.Elem().Kind() {
		case reflect.Int64:
			return wholeOrNull, nil
		case reflect.Bool:
			return flagOrNull, nil
		}
	case reflect.Struct:
		if t == timeType {
			return moment, nil
		}
		if reflect.PointerTo(t).Implements(readerType) {
			return custom, nil
		}
		return object, planOf(t)
	case reflect.Slice:
		switch t.Elem().Kind() {
		case reflect.String:
			return texts, nil
		case reflect.Struct:
			return objects, planOf(t.Elem())
		}
	case reflect.Map:
		if t.Elem().Kind() == reflect.Int64 {
			return counts, nil
		}
		return anything, nil
	}
	panic(fmt.Sprintf("wire: no field is of the type %v", t))
}
