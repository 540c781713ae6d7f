package main

import (
	"runtime/debug"
	"time"
)

// thrift gives memory that is no longer used back to the system once nothing has happened for a while: reading a recipe and
// bringing a project up take much more than holding it for months does, and Go by itself keeps a good part of that.
type thrift struct {
	quiet *time.Timer
}

// quietFor is how long nothing must happen before. A collection costs some milliseconds of a processor.
const quietFor = 2 * time.Second

func newThrift() *thrift { return &thrift{quiet: time.AfterFunc(quietFor, debug.FreeOSMemory)} }

// noticed is called when something happened.
func (t *thrift) noticed() { t.quiet.Reset(quietFor) }

func (t *thrift) end() { t.quiet.Stop() }
