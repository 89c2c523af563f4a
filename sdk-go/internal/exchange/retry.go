package exchange

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// first is the longest wait after the first try; it doubles with each.
	first = 500 * time.Millisecond
	// longest is the longest wait.
	longest = 8 * time.Second
	// longestRetryAfter is the longest Retry-After that is waited for. The error passes a longer one to the caller.
	longestRetryAfter = time.Minute
)

// NoStatus stands for the status of a try without an answer, or with a part of one.
const NoStatus = 0

// Decide returns how long to wait before the next try, and whether there is one.
//
// tried counts the tries so far, from 1; retryAfter is negative if the answer has none; jitter is a random number from 0 to 1.
func Decide(tried, maxRetries, status int, retryAfter time.Duration, jitter float64) (time.Duration, bool) {
	switch status {
	case NoStatus, 429, 500, 502, 503, 504:
	case http.StatusConflict:
		// The first call with this Idempotency-Key is still running. Only this conflict has a Retry-After.
		if retryAfter < 0 {
			return 0, false
		}
	default:
		return 0, false
	}
	switch {
	case tried > maxRetries, retryAfter > longestRetryAfter:
		return 0, false
	case retryAfter >= 0:
		return retryAfter, true
	}
	ceiling := longest
	if tried <= 4 {
		ceiling = first << (tried - 1)
	}
	return time.Duration(float64(ceiling) * jitter), true
}

// RetryAfter parses a Retry-After header: seconds (a fraction too), or a date in any of HTTP's three forms; a date in the past is zero. The result is negative if the header is missing or invalid.
func RetryAfter(header string, now time.Time) time.Duration {
	const none = -1
	header = strings.TrimSpace(header)
	if header != "" && strings.Trim(header, "0123456789.eE+-") == "" {
		seconds, err := strconv.ParseFloat(header, 64)
		if err != nil || seconds < 0 || math.Signbit(seconds) {
			return none
		}
		return time.Duration(min(seconds, math.MaxInt32) * float64(time.Second))
	}
	date, err := http.ParseTime(header)
	if err != nil {
		return none
	}
	return max(date.Sub(now), 0)
}
