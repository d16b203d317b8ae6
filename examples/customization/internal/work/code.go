package work

import (
	"errors"

	"github.com/cloisterdev/cloister/fas"
)

// Code names the class of a worker's error, one of a fixed few. It is what
// leaves the worker: the error itself may quote the source.
func Code(err error) string {
	switch {
	case errors.Is(err, ErrTooLarge):
		return "source-too-large"
	case errors.Is(err, ErrStaging):
		return "staging-damaged"
	case errors.Is(err, ErrBucket):
		return "bucket-unreadable"
	case errors.Is(err, ErrNoSource):
		return "no-source"
	case errors.Is(err, fas.ErrDenied):
		return "access-denied"
	}
	return "failed"
}
