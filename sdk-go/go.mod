module github.com/meetbot-dev/meetbot/sdk-go

go 1.25.0
