package meetbot

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// piece is what an answer to a download says of itself: it may hold no more than that, and nothing that the manifest or an earlier answer does not say too. Sizes
// are -1 where nothing says them.
type piece struct {
	// anew: it begins at the file's beginning, whatever was asked for.
	anew bool
	// end is how much of the file may be there after it, and total the file's size.
	end, total int64
}

// readPiece reads the head of a successful answer to a request for what is missing: expected is the file's size by the manifest, said that by the answers before,
// and received how much of it is there.
func readPiece(expected, said, received int64, status int, header http.Header) (piece, error) {
	if status != http.StatusPartialContent {
		total, err := agreed(expected, size(header.Get("Content-Length")))
		return piece{anew: true, end: total, total: total}, err
	}
	text := header.Get("Content-Range")
	first, last, total := contentRange(text)
	if first != received {
		return piece{}, fmt.Errorf("the bytes from %d on were asked for, and %q came", received, text)
	}
	total, err := agreed(expected, total)
	if err == nil {
		total, err = agreed(said, total)
	}
	return piece{end: last + 1, total: total}, err
}

// reaches says whether the answer may hold what makes this much of the file be there.
func (p piece) reaches(received int64) bool { return p.end < 0 || received <= p.end }

// completes says whether the file is whole with this much of it.
func (p piece) completes(received int64) bool { return p.total < 0 || received == p.total }

// agreed is the size that both say, as far as they say one.
func agreed(known, said int64) (int64, error) {
	if known >= 0 && said >= 0 && known != said {
		return 0, fmt.Errorf("it should have %d bytes, and the server says %d", known, said)
	}
	return max(known, said), nil
}

// size reads a number of digits alone; -1 for anything else.
func size(text string) int64 {
	number, err := strconv.ParseUint(text, 10, 62)
	if err != nil || strings.Trim(text, "0123456789") != "" {
		return -1
	}
	return int64(number)
}

// contentRange reads bytes FIRST-LAST/TOTAL; all are -1 for anything else, for a size that is not said (*) too.
func contentRange(text string) (first, last, total int64) {
	span, found := strings.CutPrefix(text, "bytes ")
	span, all, both := strings.Cut(span, "/")
	from, to, _ := strings.Cut(span, "-")
	first, last, total = size(from), size(to), size(all)
	if !found || !both || first < 0 || first > last || last >= total {
		return -1, -1, -1
	}
	return first, last, total
}
