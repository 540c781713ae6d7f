package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"galley/bosh"
	"galley/engine"
)

// A command that changes a project which is supervised asks the supervisor for its turn, over a socket in the run directory:
// a line with a turnRequest, answered, once the supervisor is still, with a turnAnswer. Then it takes the project's lock as
// ever and does its work, while the connection stands; further lines are wishes. Without a supervisor nothing of this
// happens, and with one that hangs the lock decides.

// turnRequest asks for a turn.
type turnRequest struct {
	PID     int    `json:"pid"`
	Command string `json:"command"`
	// Wait for the turn of somebody else to end.
	Wait bool `json:"wait,omitempty"`
}

// turnAnswer grants it, or says who is at it.
type turnAnswer struct {
	Granted bool         `json:"granted"`
	Holder  *bosh.Holder `json:"holder,omitempty"`
}

// turns gives others their turn.
type turns struct {
	listener net.Listener
	path     string
	requests chan engine.Turn

	mu     sync.Mutex
	holder *bosh.Holder
	free   chan struct{} // closed when the holder's turn ends
}

// listenForTurns opens the socket on which turns are asked for.
func listenForTurns(path string) (*turns, error) {
	listener, err := bosh.Listen(path, 0o600)
	if err != nil {
		return nil, err
	}
	return &turns{listener: listener, path: path, requests: make(chan engine.Turn)}, nil
}

// serve answers until ctx ends.
func (t *turns) serve(ctx context.Context) {
	context.AfterFunc(ctx, func() {
		t.listener.Close()
		os.Remove(t.path)
	})
	for {
		conn, err := t.listener.Accept()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil: // out of descriptors: they come back
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		go t.converse(ctx, conn)
	}
}

// converse is one turn from the request to its end.
func (t *turns) converse(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	lines, answers := json.NewDecoder(bufio.NewReader(conn)), json.NewEncoder(conn)
	var request turnRequest
	if lines.Decode(&request) != nil {
		return
	}
	holder := &bosh.Holder{PID: request.PID, Command: request.Command, Since: time.Now().Truncate(time.Second)}
	if other := t.take(ctx, holder, request.Wait); other != nil {
		_ = answers.Encode(turnAnswer{Holder: other}) // who is gone needs no answer
		return
	}
	defer t.giveBack()
	granted, wishes := make(chan struct{}), make(chan engine.Wish)
	defer close(wishes)
	select {
	case t.requests <- engine.Turn{Granted: granted, Wishes: wishes}:
	case <-ctx.Done():
		return
	}
	select {
	case <-granted:
	case <-ctx.Done():
		return
	}
	if answers.Encode(turnAnswer{Granted: true}) != nil {
		return
	}
	for {
		var wish engine.Wish
		if lines.Decode(&wish) != nil {
			return
		}
		select {
		case wishes <- wish:
			_ = answers.Encode(turnAnswer{Granted: true}) // the wish was heard
		case <-ctx.Done():
			return
		}
	}
}

// take makes holder the one whose turn it is, or returns who is. With wait that one's end is waited for.
func (t *turns) take(ctx context.Context, holder *bosh.Holder, wait bool) *bosh.Holder {
	for {
		t.mu.Lock()
		other, free := t.holder, t.free
		if other == nil {
			t.holder, t.free = holder, make(chan struct{})
		}
		t.mu.Unlock()
		if other == nil || !wait {
			return other
		}
		select {
		case <-free:
		case <-ctx.Done():
			return other
		}
	}
}

func (t *turns) giveBack() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.holder = nil
	close(t.free)
}

// turn is a command's own, beside a supervisor; nil where there is none.
type turn struct {
	conn    net.Conn
	answers *json.Decoder
	unhook  func() bool
}

// takeTurn asks the project's supervisor for a turn.
func (c *cli) takeTurn(ctx context.Context, project, command string, wait bool) (*turn, error) {
	path := c.paths().Control(c.onEngine(project))
	conn, err := bosh.Dial(ctx, path)
	if err != nil {
		return nil, nil // nobody supervises
	}
	t := &turn{conn: conn, answers: json.NewDecoder(conn)}
	t.unhook = context.AfterFunc(ctx, func() { conn.Close() })
	var answer turnAnswer
	err = json.NewEncoder(conn).Encode(turnRequest{os.Getpid(), "galley " + command, wait})
	if err == nil {
		err = t.answers.Decode(&answer)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		t.end()
		return nil, nil // it went away
	case answer.Holder != nil:
		t.end()
		return nil, &bosh.HeldError{Path: path, Holder: *answer.Holder}
	case !answer.Granted:
		t.end()
		return nil, errors.New("the supervisor gave an answer that this galley does not understand")
	}
	return t, nil
}

// tell has the supervisor know of a wish. When it returns, it does.
func (t *turn) tell(w engine.Wish) error {
	if t == nil {
		return nil
	}
	var answer turnAnswer
	err := json.NewEncoder(t.conn).Encode(w)
	if err == nil {
		err = t.answers.Decode(&answer)
	}
	if err != nil {
		return fmt.Errorf("telling the supervisor: %w", err)
	}
	return nil
}

// end gives the turn back.
func (t *turn) end() {
	if t == nil {
		return
	}
	t.unhook()
	// The connection's end is all that the supervisor waits for.
	_ = t.conn.Close()
}
