// Package nullable has the type of fields that are left out, null, or there.
package nullable

import "encoding/json"

// Nullable is empty for a field that is left out, and holds one value under true, or null under false. It is a map so that omitempty leaves it out.
type Nullable[T any] map[bool]T

// Value is a field that is there.
func Value[T any](value T) Nullable[T] {
	return Nullable[T]{true: value}
}

// Null is a field that is null.
func Null[T any]() Nullable[T] {
	var none T
	return Nullable[T]{false: none}
}

// MarshalJSON writes null, or the value.
func (n Nullable[T]) MarshalJSON() ([]byte, error) {
	value, there := n[true]
	if !there {
		return []byte("null"), nil
	}
	return json.Marshal(value)
}
