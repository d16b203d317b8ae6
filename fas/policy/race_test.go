//go:build race

package policy

// raceDetector is on: tests of one goroutine take fewer cases.
const raceDetector = true
