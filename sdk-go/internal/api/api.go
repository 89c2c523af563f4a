// Package api makes the requests of every call. requests.gen.go is generated from the server's own document.
package api

//go:generate go -C generate run .
