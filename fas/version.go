package fas

import (
	"runtime/debug"
	"slices"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// protocol is the version of the messages. It changes with their meaning.
const protocol = 3

// Version says what a firewall is. It holds nothing that is secret.
type Version struct {
	Protocol int       `json:"protocol"`
	Build    string    `json:"build"` // of the module; "(devel)" where it has none
	Started  time.Time `json:"started"`
	// Profiles are the hashes of the signed profiles by ID, and Schemes the
	// methods of evidence that it verifies.
	Profiles map[string]string `json:"profiles"`
	Schemes  []tenant.Method   `json:"schemes"`
}

func (f *Firewall) version() *Version {
	v := &Version{Protocol: protocol, Build: "(devel)", Started: f.started, Profiles: map[string]string{}}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		v.Build = b.Main.Version
	}
	all := f.c.Profiles
	if f.c.ProfileStore != nil {
		all = f.c.ProfileStore.All()
	}
	for _, p := range all {
		v.Profiles[p.Profile().ID] = p.Hash()
	}
	for m := range f.verifiers {
		v.Schemes = append(v.Schemes, m)
	}
	slices.Sort(v.Schemes)
	return v
}
