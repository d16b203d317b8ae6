//go:build race

package kmsctx_test

const raceEnabled = true
