//go:build !linux

package gpuinfer

import "os/exec"

// Inventory knows no cores on this system: one partition, not pinned.
func Inventory() ([]Partition, error) { return []Partition{{}}, nil }

func pinned(_ []int, cmd *exec.Cmd) error { return cmd.Start() }

func attest(int, []int) error { return ErrAttest }
