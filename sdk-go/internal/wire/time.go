package wire

import (
	"errors"
	"time"
)

// Time is a time as the API takes it: UTC, with milliseconds.
type Time time.Time

// String gives it as RFC 3339.
func (t Time) String() string {
	return FormatTime(time.Time(t))
}

// MarshalText gives it as RFC 3339.
func (t Time) MarshalText() ([]byte, error) {
	return []byte(t.String()), nil
}

// FormatTime gives a time as RFC 3339 in UTC, with milliseconds.
func FormatTime(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

var errTime = errors.New("a time as RFC 3339 has it, with seconds and an offset, was to be there")

// ParseTime reads a time as RFC 3339 has it, to the millisecond. A leap second is the second before it.
func ParseTime(text string) (time.Time, error) {
	// time.Parse takes a comma before the fraction, and hours of one digit.
	for i, letter := range []byte(text) {
		digit := letter >= '0' && letter <= '9'
		switch {
		case i == 4 || i == 7:
			digit = letter == '-'
		case i == 10:
			digit = letter == 'T' || letter == 't'
		case i == 13 || i == 16:
			digit = letter == ':'
		case i > 18:
			digit = letter != ','
		}
		if !digit {
			return time.Time{}, errTime
		}
	}
	if len(text) < len("2006-01-02T15:04:05Z") {
		return time.Time{}, errTime
	}
	upper := []byte(text)
	upper[10] = 'T'
	if last := len(upper) - 1; upper[last] == 'z' {
		upper[last] = 'Z'
	}
	if string(upper[17:19]) == "60" {
		upper[17], upper[18] = '5', '9'
	}
	at, err := time.Parse(time.RFC3339, string(upper))
	if err != nil {
		return time.Time{}, errTime
	}
	return at.UTC().Truncate(time.Millisecond), nil
}
