// What needs other modules or a running server, in a module of its own: the SDK requires nothing.
module github.com/meetbot-dev/meetbot/sdk-go/checks

go 1.26.0

require (
	github.com/meetbot-dev/meetbot/sdk-go v0.0.0
	github.com/standard-webhooks/standard-webhooks/libraries v0.0.1
	golang.org/x/mod v0.43.0
	golang.org/x/tools v0.52.0
	resty.dev/v3 v3.0.0-rc.4
)

require (
	github.com/BurntSushi/toml v1.4.1-0.20240526193622-a339e1f7089c // indirect
	golang.org/x/exp/typeparams v0.0.0-20231108232855-2478ac86f678 // indirect
	golang.org/x/net v0.61.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	honnef.co/go/tools v0.8.2 // indirect
)

replace github.com/meetbot-dev/meetbot/sdk-go => ../

tool honnef.co/go/tools/cmd/staticcheck
