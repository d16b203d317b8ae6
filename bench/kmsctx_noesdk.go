//go:build !esdk

package main

import "context"

// official is AWS's own Go implementation, which `-tags esdk` builds.
type official struct{ party }

func officialParty(context.Context) (*official, error) { return nil, nil }

func (o *official) withFrames(int64) party { return o.party }
