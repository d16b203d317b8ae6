//go:build !unix

package main

import "time"

const cpuClock = "time"

func cpuTime() time.Duration { return wallTime() }
