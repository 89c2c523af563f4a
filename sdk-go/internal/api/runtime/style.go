// Package runtime has what the generated requests call: how a parameter is written into a path, a query or a header.
package runtime

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
)

// ParamLocation is where a parameter stands.
type ParamLocation int

// The places of parameters.
const (
	ParamLocationPath ParamLocation = iota
	ParamLocationQuery
	ParamLocationHeader
)

// StyleParamOptions says where a parameter stands; Type and Format are the document's.
type StyleParamOptions struct {
	ParamLocation ParamLocation
	Type, Format  string
}

// StyleParamWithOptions writes a parameter: one segment of a path, pieces of a query with & between them, or a header's value.
//
// A segment that is empty names the list, and one of dots alone names a folder above, since parsers of URLs take dots away after decoding: both are errors.
func StyleParamWithOptions(_ string, _ bool, name string, value any, options StyleParamOptions) (string, error) {
	switch options.ParamLocation {
	case ParamLocationPath:
		text := fmt.Sprint(value)
		if strings.Trim(text, ".") == "" {
			return "", fmt.Errorf("%s cannot be %q", name, text)
		}
		return url.PathEscape(text), nil
	case ParamLocationQuery:
		list := reflect.ValueOf(value)
		if list.Kind() != reflect.Slice {
			return url.QueryEscape(name) + "=" + url.QueryEscape(fmt.Sprint(value)), nil
		}
		pieces := make([]string, list.Len())
		for i := range pieces {
			pieces[i] = url.QueryEscape(name) + "=" + url.QueryEscape(fmt.Sprint(list.Index(i)))
		}
		return strings.Join(pieces, "&"), nil
	default:
		return fmt.Sprint(value), nil
	}
}
