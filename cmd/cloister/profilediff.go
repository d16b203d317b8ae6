package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/profile"
)

// difference is one thing that a new version changes.
type difference struct {
	// Effect is "widens", "narrows", or "changes" for what is neither or what
	// cannot be decided.
	Effect string `json:"effect"`
	Field  string `json:"field"`
	Text   string `json:"text"`
}

func profileDiff(fs *flag.FlagSet, args []string, out io.Writer) error {
	asJSON := fs.Bool("json", false, "print JSON")
	names, err := files(fs, args, out, 2, errProfileDiff)
	if err != nil {
		return err
	}
	_, old, _, err := readEnvelope(names[0])
	if err != nil {
		return err
	}
	_, next, _, err := readEnvelope(names[1])
	if err != nil {
		return err
	}
	diff, err := compare(old, next)
	if err != nil {
		return err
	}
	wider := slices.ContainsFunc(diff, func(d difference) bool { return d.Effect != "narrows" })
	if *asJSON {
		return json.NewEncoder(out).Encode(struct {
			ID          string       `json:"id"`
			From        int          `json:"from"`
			To          int          `json:"to"`
			Wider       bool         `json:"may_be_wider"`
			Differences []difference `json:"differences"`
		}{next.ID, old.Version, next.Version, wider, append([]difference{}, diff...)})
	}
	fmt.Fprintf(out, "%s, version %d to %d\n", next.ID, old.Version, next.Version)
	for _, d := range diff {
		fmt.Fprintf(out, "%-8s %s: %s\n", d.Effect, d.Field, d.Text)
	}
	switch {
	case len(diff) == 0:
		_, err = fmt.Fprintln(out, "nothing changes")
	case !wider:
		_, err = fmt.Fprintln(out, "nothing is wider")
	}
	return err
}

// compare says in words what the next version does that the old one does not,
// and the other way about.
func compare(old, next profile.Profile) ([]difference, error) {
	var out []difference
	add := func(effect, field, format string, args ...any) {
		out = append(out, difference{effect, field, fmt.Sprintf(format, args...)})
	}
	if old.ID != next.ID {
		add("changes", "id", "%s, was %s: it is another profile", next.ID, old.ID)
	}
	if next.Version <= old.Version {
		add("changes", "version", "%d, where %d is: it does not replace the other", next.Version, old.Version)
	}
	for _, o := range next.Operations {
		if !slices.Contains(old.Operations, o) {
			add("widens", "operations", "additionally serves %s", o)
		}
	}
	for _, o := range old.Operations {
		if !slices.Contains(next.Operations, o) {
			add("narrows", "operations", "no longer serves %s", o)
		}
	}
	out = append(out, compareCallers(old, next)...)
	// number compares bounds of which the higher is the wider.
	number := func(field, text string, was, is int) {
		switch {
		case is > was:
			add("widens", field, text, is, was)
		case is < was:
			add("narrows", field, text, is, was)
		}
	}
	number("ttl", "sessions of %d seconds, were of %d", old.TTL, next.TTL)
	number("max_exchanges", "%d sessions for a signed call, was %d", old.MaxExchanges, next.MaxExchanges)
	if old.MinLevel != next.MinLevel {
		effect := "narrows"
		if !next.MinLevel.Meets(old.MinLevel) {
			effect = "widens"
		}
		add(effect, "min_level", "asks for %s, asked for %s", next.MinLevel, old.MinLevel)
	}
	if old.Bind != next.Bind {
		add("changes", "bind", "the resource is named by %s, was by %s", next.Bind, old.Bind)
	}
	if old.Audience != next.Audience {
		add("changes", "audience", "sessions are for %s, were for %s", next.Audience, old.Audience)
	}
	instant := func(field, text string, was, is time.Time, wider bool) {
		if was.Equal(is) {
			return
		}
		effect := "narrows"
		if wider {
			effect = "widens"
		}
		add(effect, field, text, is.Format(time.RFC3339), was.Format(time.RFC3339))
	}
	instant("not_before", "valid from %s, was from %s", old.NotBefore, next.NotBefore, next.NotBefore.Before(old.NotBefore))
	instant("not_after", "valid to %s, was to %s", old.NotAfter, next.NotAfter, next.NotAfter.After(old.NotAfter))
	policies, err := comparePolicies(old, next)
	return append(out, policies...), err
}

func compareCallers(old, next profile.Profile) []difference {
	var out []difference
	for _, c := range next.Callers {
		if !old.PermitsCaller(c) && c != profile.AnyCaller {
			out = append(out, difference{"widens", "callers", "additionally serves " + c})
		}
	}
	for _, c := range old.Callers {
		if !next.PermitsCaller(c) && c != profile.AnyCaller {
			out = append(out, difference{"narrows", "callers", "no longer serves " + c})
		}
	}
	was, is := slices.Contains(old.Callers, profile.AnyCaller), slices.Contains(next.Callers, profile.AnyCaller)
	switch {
	case is && !was:
		out = append(out, difference{"widens", "callers", "additionally serves every workload"})
	case was && !is:
		out = append(out, difference{"narrows", "callers", "no longer serves every workload"})
	}
	return out
}

func comparePolicies(old, next profile.Profile) ([]difference, error) {
	was, err := policy.Parse(old.Allow)
	if err != nil {
		return nil, fmt.Errorf("allow of version %d: %w", old.Version, err)
	}
	is, err := policy.Parse(next.Allow)
	if err != nil {
		return nil, fmt.Errorf("allow of version %d: %w", next.Version, err)
	}
	var out []difference
	one := func(in policy.Inclusion, effect, words string) {
		switch in.Answer {
		case policy.No:
			out = append(out, difference{effect, "allow", fmt.Sprintf("%s %s on %s", words, in.Witness.Action, in.Witness.Resource)})
		case policy.Unknown:
			out = append(out, difference{"changes", "allow", fmt.Sprintf("whether it %s anything cannot be decided: %s", words, in.Reason)})
		}
	}
	one(policy.Subset(was, is), "widens", "additionally allows")
	one(policy.Subset(is, was), "narrows", "no longer allows")
	return out, nil
}
