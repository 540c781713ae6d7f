package bosh

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestASecondHolderIsToldWhoHoldsTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "shop.lock")
	first, err := Acquire(t.Context(), path, "galley up", false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Acquire(t.Context(), path, "galley down", false)
	var held *HeldError
	if !errors.As(err, &held) {
		t.Fatalf("got error %v, want a HeldError", err)
	}
	if held.Holder.PID != os.Getpid() || held.Holder.Command != "galley up" || held.Holder.Since.IsZero() {
		t.Errorf("got holder %+v, want this process running galley up", held.Holder)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	second, err := Acquire(t.Context(), path, "galley down", false)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	second.Release()
}

func TestAWaitEndsWithTheRelease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop.lock")
	first, err := Acquire(t.Context(), path, "galley up", false)
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		second, err := Acquire(t.Context(), path, "galley down", true)
		if err == nil {
			err = second.Release()
		}
		waited <- err
	}()
	first.Release()
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop.lock")
	first, err := Acquire(t.Context(), path, "galley up", false)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Acquire(ctx, path, "galley down", true)
	var held *HeldError
	if !errors.As(err, &held) {
		t.Errorf("got error %v, want a HeldError", err)
	}
}

func TestALockIsNotWrittenThroughASymbolicLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "shop.lock")
	if err := os.Symlink(victim, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(t.Context(), link, "galley up", false); err == nil {
		t.Error("a symbolic link was taken for a lock file")
	}
	if text, _ := os.ReadFile(victim); string(text) != "keep" {
		t.Errorf("the link's target now holds %q", text)
	}
}
