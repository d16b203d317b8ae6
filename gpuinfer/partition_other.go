//go:build !linux

package gpuinfer

// Inventory knows no cores on this system: one partition, not pinned.
func Inventory() ([]Partition, error) { return []Partition{{}}, nil }

func pinned(_ []int, start func() error) error { return start() }

func attest(int, []int) error { return ErrAttest }
