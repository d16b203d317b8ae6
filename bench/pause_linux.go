package main

import (
	"syscall"
	"time"
)

// pause sleeps for less than the millisecond to which the runtime rounds on
// Linux: calls that are due every half would begin two at a time.
func pause(d time.Duration) {
	if d > 0 {
		t := syscall.NsecToTimespec(int64(d))
		_ = syscall.Nanosleep(&t, nil) // too early after a signal does no harm
	}
}
