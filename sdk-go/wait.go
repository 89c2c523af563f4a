package meetbot

import (
	"context"
	"errors"
	"reflect"
	"time"
)

const (
	// mostAway is how long the server may be away, or answer with errors that pass, before a wait gives up.
	mostAway = 5 * time.Minute
	// shortestPause is the shortest between two questions, livePause that while events come, and longestPause the longest.
	shortestPause = 200 * time.Millisecond
	livePause     = 2 * time.Second
	longestPause  = 5 * time.Second
	// lastQuestion is how long before the end of its time a wait asks for the last time: as much as an answer may take.
	lastQuestion = time.Second
)

// WaitForBot waits until the job has ended, by listening to its events and by asking for it every 2 to 5 seconds; where there is no stream of events to be had, by
// asking alone: often at first, every 5 seconds later.
//
// ctx ends it: with a deadline it gives up with [ErrTimeout], and the job goes on. A server that is away for less than five minutes does not end the wait.
func (c *Client) WaitForBot(ctx context.Context, jobID string, options ...CallOption) (*Job, error) {
	if _, wrong := c.prepare(ctx, options); wrong != nil {
		return nil, wrong
	}
	w := wait{jobID: jobID, began: time.Now()}
	w.deadline, w.ends = ctx.Deadline()
	listening, stop := context.WithCancel(ctx)
	w.listen(c, listening, options)
	// No goroutine is left when it returns.
	defer func() {
		stop()
		for range w.news {
		}
	}()
	onUpdate := c.options.with(options).onUpdate
	var seen *Job
	for {
		job, err := c.GetBot(ctx, jobID, options...)
		now := time.Now()
		switch {
		case err == nil:
			if onUpdate != nil && differ(job, seen) {
				onUpdate(job)
			}
			seen, w.answered = job, now.Sub(w.began)
			if job.Status.IsFinal() {
				return job, nil
			}
		case ctx.Err() != nil:
			return nil, w.tooLate(ctx, seen)
		case !w.mayPass(err, now.Sub(w.began)):
			return nil, err
		}
		if !w.pause(ctx, now) {
			return nil, w.tooLate(ctx, seen)
		}
	}
}

// differ says whether there is more than a new UpdatedAt: chat and people's comings and goings set it too.
func differ(job, seen *Job) bool {
	if seen == nil {
		return true
	}
	before := *seen
	before.UpdatedAt = job.UpdatedAt
	return !reflect.DeepEqual(*job, before)
}

// wait is where a wait stands.
type wait struct {
	jobID    string
	began    time.Time
	deadline time.Time
	ends     bool
	// answered is when the job was last seen, since the wait began.
	answered time.Duration
	// news has the names of the job's events; it is nil where there is nothing to listen to any more.
	news chan EventName
	// quiet says that there is nothing to listen to any more.
	quiet bool
	// heard: an event has come. A proxy may hold back a stream that it has let begin.
	heard bool
}

// listen begins to listen to the job's events.
func (w *wait) listen(c *Client, ctx context.Context, options []CallOption) {
	news := make(chan EventName, 64)
	w.news = news
	go func() {
		defer close(news)
		for event, err := range c.Watch(ctx, w.jobID, options...) {
			if err != nil {
				return
			}
			select {
			case news <- event.Event:
			case <-ctx.Done():
				return
			}
		}
	}()
}

// pause waits before the next question, until an event says that something happened to the job; it is false when the context has ended.
func (w *wait) pause(ctx context.Context, now time.Time) bool {
	left := time.Duration(-1)
	if w.ends {
		left = w.deadline.Sub(now)
	}
	timer := time.NewTimer(pauseAfter(now.Sub(w.began), left, w.heard && !w.quiet))
	defer timer.Stop()
	news := w.news
	if w.quiet {
		news = nil
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case event, open := <-news:
			if !open {
				w.quiet, news = true, nil
				continue
			}
			w.heard = true
			isChange := changesJob(event)
			// One question answers all that have come together.
			for range len(news) {
				isChange = changesJob(<-news) || isChange
			}
			if isChange {
				return true
			}
		}
	}
}

// pauseAfter is a tenth of the time waited so far: what is short is noticed at once, what is long costs little. Events tell most of it sooner. left is negative
// where the wait has no end.
func pauseAfter(waited, left time.Duration, live bool) time.Duration {
	least := shortestPause
	if live {
		least = livePause
	}
	pause := min(max(waited/10, least), longestPause)
	switch {
	case left < 0:
		return pause
	case left > lastQuestion:
		return min(pause, left-lastQuestion)
	}
	return min(pause, left)
}

// mayPass says whether the wait goes on after this error.
func (w *wait) mayPass(err error, now time.Duration) bool {
	var e *Error
	return errors.As(err, &e) && e.Transient && now-w.answered < mostAway
}

// tooLate is the error of a wait whose context has ended.
func (w *wait) tooLate(ctx context.Context, seen *Job) error {
	state := "was not seen"
	if seen != nil {
		state = "is still " + string(seen.Status)
	}
	e := &Error{Kind: ErrConnection, Message: "the wait was given up: the job " + w.jobID + " " + state, Err: ctx.Err()}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e.Kind = ErrTimeout
	}
	return e
}

// changesJob reports whether the job has changed with this event. Chat, people who join or leave, and files that are made after its end are not part of it.
func changesJob(event EventName) bool {
	switch event {
	case EventChatMessage, EventChatWithheld, EventEventsLeftOut, EventParticipantJoined, EventParticipantRenamed, EventParticipantLeft, EventArtifactReady:
		return false
	}
	return true
}
