package meetbot

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// isLoopback says whether a host is this machine: localhost, a name below it, or an address of loopback.
func isLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// isInTheClear says whether a key goes unencrypted to another machine.
func isInTheClear(base *url.URL) bool {
	return base.Scheme == "http" && !isLoopback(base.Hostname())
}

// notForLoopback lets no proxy of the environment have what is meant for this machine.
func notForLoopback(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(request *http.Request) (*url.URL, error) {
		if proxy == nil || isLoopback(request.URL.Hostname()) {
			return nil, nil
		}
		return proxy(request)
	}
}
