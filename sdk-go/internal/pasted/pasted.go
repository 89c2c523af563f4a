// Package pasted reads keys and secrets as people paste them and keep them in files.
package pasted

import (
	"fmt"
	"strings"
	"unicode"
)

// Trim takes off what files and editors add at the ends of a text: white space, and a byte order mark.
func Trim(text string) string {
	return strings.TrimFunc(text, func(letter rune) bool { return unicode.IsSpace(letter) || letter == '\uFEFF' })
}

// Stranger names the first character of a text that no key and no secret has and that mostly does not show: one beyond ASCII, or a control character other than
// white space. It is empty where there is none.
func Stranger(text string) string {
	place := 0
	for _, letter := range text {
		place++
		if letter > unicode.MaxASCII || unicode.IsControl(letter) && !unicode.IsSpace(letter) {
			return fmt.Sprintf("U+%04X as its character %d", letter, place)
		}
	}
	return ""
}
