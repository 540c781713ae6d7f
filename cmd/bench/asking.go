package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	askEvery = 5 * time.Millisecond
	// answerWithin is longer than what a proxy takes to go on to another address, see proxyConf.
	answerWithin = 2 * time.Second
	// answersWithin is how long the first answer may take, and the first one after a change.
	answersWithin = 30 * time.Second
)

// asked is what a client that never stops asking went through.
type asked struct {
	// silence is the longest time without a good answer, failures is how many questions got none.
	silence  time.Duration
	failures int
}

// asker asks an address every five milliseconds, each time over a connection of its own, as strangers would.
type asker struct {
	url    string
	client *http.Client

	mu    sync.Mutex
	seen  asked
	since time.Time // older questions don't count as failures
	last  time.Time // the last good answer
	// answered says that a question of this time or later had a good answer.
	answered chan time.Time
}

// askDuring asks while the work is done: from the first good answer, until one to a question of after the work.
func askDuring(ctx context.Context, url string, work func() error) (asked, error) {
	a := &asker{
		url:      url,
		client:   &http.Client{Timeout: answerWithin, Transport: &http.Transport{DisableKeepAlives: true}},
		answered: make(chan time.Time, 1),
	}
	asking, stop := context.WithCancel(ctx)
	var questions sync.WaitGroup
	questions.Go(func() { a.ask(asking, &questions) })
	defer func() { stop(); questions.Wait() }()
	if err := a.await(ctx, time.Time{}); err != nil {
		return asked{}, err
	}
	a.mu.Lock()
	a.seen, a.since = asked{}, time.Now()
	a.mu.Unlock()
	if err := work(); err != nil {
		return asked{}, err
	}
	err := a.await(ctx, time.Now())
	stop()
	questions.Wait()
	return a.seen, err
}

func (a *asker) ask(ctx context.Context, questions *sync.WaitGroup) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			questions.Go(func() { a.question(time.Now()) })
		}
	}
}

// question is one question and its answer; it outlives the wish to ask more, so that none is cut short and counted.
func (a *asker) question(begun time.Time) {
	good := a.good()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !good {
		if begun.After(a.since) {
			a.seen.failures++
		}
		return
	}
	now := time.Now()
	if !a.last.IsZero() {
		a.seen.silence = max(a.seen.silence, now.Sub(a.last))
	}
	a.last = now
	select {
	case <-a.answered: // an older one
	default:
	}
	a.answered <- begun
}

func (a *asker) good() bool {
	answer, err := a.client.Get(a.url)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err == nil && answer.StatusCode == http.StatusOK
}

// await waits for a good answer to a question that was asked after the time.
func (a *asker) await(ctx context.Context, after time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	for {
		select {
		case begun := <-a.answered:
			if begun.After(after) {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("asking %s: no answer: %w", a.url, ctx.Err())
		}
	}
}
