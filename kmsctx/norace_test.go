//go:build !race

package kmsctx_test

const raceEnabled = false
