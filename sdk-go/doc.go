// Package meetbot is the Go SDK of meetbot: dispatch bots to video meetings, follow them, fetch what they recorded, and verify their webhooks.
//
//	mb, err := meetbot.NewClient() // $MEETBOT_API_KEY, $MEETBOT_API_BASE_URL
//	job, err := mb.DispatchBot(ctx, meetbot.DispatchBotParams{MeetingURL: "https://sandbox.meetbot.dev/two-speakers"})
//	job, err = mb.WaitForBot(ctx, job.ID)
//	paths, err := mb.DownloadArtifacts(ctx, job.ID, "recording")
//
// # Calls
//
// A call is tried again on 429, 500, 502, 503, 504 and lost connections, 3 times unless set otherwise, with the same Idempotency-Key. Retry-After is honoured up to a
// minute. [WithTimeout] limits one try, [WithDeadline] the whole call, and a context that ends, ends it at once, in a pause between tries too.
//
// Every error is an [*Error]. errors.Is finds its kind ([ErrNotFound], [ErrRateLimit]), and its cause: [context.Canceled], a *net.OpError.
//
// # Answers
//
// What a server leaves out or sends as null is the zero value; where zero means something of its own, the field is a pointer. Words and fields that this version
// does not know come through: a [JobStatus] is a string, and models have their other fields in Extra.
//
// The package [webhook] takes webhooks, and [meetbottest] is for tests of programs that use this SDK.
//
// [webhook]: https://pkg.go.dev/github.com/meetbot-dev/meetbot/sdk-go/webhook
// [meetbottest]: https://pkg.go.dev/github.com/meetbot-dev/meetbot/sdk-go/meetbottest
package meetbot
