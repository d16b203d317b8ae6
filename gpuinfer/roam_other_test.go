//go:build unix && !linux

package gpuinfer_test

func roam() error { return nil }
